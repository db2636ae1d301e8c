"""`saima new`: an algorithm to start from, with tests that pass."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import click

from saima.settings import settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_TAKEN = frozenset({"shared", "parity"})
_FILES = {"algorithm.yaml": "algorithm.yaml.txt", "tests/test_@name@.py": "test.py.txt"}


@click.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Scaffold algorithms/NAME: a declaration that validates and tests that pass. Overwrites nothing."""
    folder = settings().algorithms / checked_name(name)
    if folder.exists():
        raise click.ClickException(f"{folder} exists; choose another name, or remove it first")
    for path in scaffold(folder, name):
        click.echo(f"wrote {path}")
    click.echo(f"next: saima check {name}; saima explain {name}; pytest {folder}")


def checked_name(name: str) -> str:
    """The name, if an algorithm may have it. Raises click.BadParameter."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise click.BadParameter(
            f"'{name}' is not a name of an algorithm; use up to 48 of a-z, 0-9 and _, a letter first, "
            f"and none of {', '.join(sorted(_TAKEN))}",
            param_hint="NAME",
        )
    return name


def scaffold(folder: Path, name: str) -> list[Path]:
    """Write the files of a new algorithm and return their paths."""
    written = []
    for target, template in _FILES.items():
        text = (files("cli.scaffold") / template).read_text(encoding="utf-8")
        path = folder / target.replace("@name@", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@name@", name), encoding="utf-8")
        written.append(path)
    return written
