"""`--conformance DIR`: more case files of the same names, run beside our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

OWN = Path(__file__).parent / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", metavar="DIR", default=None, help="folder with more conformance cases")


def folders(config: pytest.Config) -> list[Path]:
    """Our folder of cases and, where given, that of `--conformance DIR`. UsageError if DIR is none."""
    more = config.getoption("--conformance", default=None)
    if more is not None and not Path(more).is_dir():
        raise pytest.UsageError(f"--conformance: '{more}' is not a folder")
    return [OWN, *([Path(more)] if more is not None else [])]


def case_files(config: pytest.Config, name: str) -> list[Path]:
    """Our file of a name and that of `--conformance DIR`."""
    return [folder / name for folder in folders(config) if (folder / name).is_file()]


def read_cases(config: pytest.Config, name: str) -> list[dict[str, Any]]:
    """Cases of a name from every folder."""
    return [case for file in case_files(config, name) for case in read_one(file)]


def known(case: dict[str, Any], *parts: str) -> None:
    """Fail a case that says something its test does not read: it would be passed without having been run."""
    unknown = sorted(set(case) - {"id", "meaning", *parts})
    assert not unknown, f"case {case['id']}: unknown kind of case, with {', '.join(unknown)}"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which cases run, and which files do not."""
    lines = []
    for folder in folders(config):
        names = sorted(file.name for file in folder.glob("*.json"))
        idle = [name for name in names if not (OWN / name).is_file()]
        counts = [f"{name} {len(read_one(folder / name))}" for name in names if name not in idle]
        lines.append(f"conformance {folder}: {', '.join(counts)}" + (f"; not run: {', '.join(idle)}" if idle else ""))
    return lines


def read_one(file: Path) -> list[dict[str, Any]]:
    """Cases of one file."""
    cases: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["cases"]
    return cases
