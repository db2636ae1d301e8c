"""`saima backup` and `saima restore`: all state in one file, and back."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import click

from cli.preflight import only_instance
from saima.settings import settings


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write everything under SAIMA_HOME to FILE (.tar, or .tar.gz to compress); Saima must not run.

    Databases are copied as of their last commit. A registry at an address of its own is not in it.
    """
    from saima.stores.backup import back_up
    from saima.stores.environments import lock_writer

    chosen = settings()
    if not chosen.home.is_dir():
        raise click.ClickException(f"there is no state in {chosen.home}")
    with ExitStack() as held:
        held.enter_context(only_instance(chosen.home))
        for shard in sorted((chosen.home / "online").glob("shard-*")):
            if ".set-aside-" not in shard.name:
                held.enter_context(lock_writer(shard))
        manifest = back_up(chosen.home, file, time.time_ns() // 1_000_000)
    size = file.stat().st_size / 1024**2
    click.echo(f"{len(manifest.files):,} files of {chosen.home} are in {file}, {size:,.1f} MiB")
    if chosen.registry_url:
        click.echo("the registry has an address of its own (registry_url) and is not in it: back it up there")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Put the state of a backup FILE into SAIMA_HOME, which must be empty; every file is held against its digest."""
    from saima.stores.backup import restore as put_back

    home = settings().home
    manifest = put_back(file, home)
    click.echo(f"{len(manifest.files):,} files of {file} are in {home}; start with `saima up`")
