"""`saima log`: how far the event log goes, whether it is whole, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from saima.settings import settings

if TYPE_CHECKING:
    from saima.stores.log import SqliteLog


@click.group("log")
def log() -> None:
    """Inspect and repair the event log."""


@log.command("status")
def status() -> None:
    """Show tail, head, size and how far each consumer has read."""
    with _log() as opened:
        extents = opened.extents()
        head = opened.head().get(0, 0)
        size = sum(extent.size for extent in extents) / 1e6
        click.echo(
            f"{opened.path}: offsets {opened.tail().get(0, 0) + 1} to {head}, {len(extents)} segments, {size:.1f} MB"
        )
        for name, position in sorted(opened.consumers().items()):
            read = position.get(0, 0)
            click.echo(f"  {name} has read to {read}, {head - read} behind")


@log.command("check")
def check() -> None:
    """Read the whole log and name every damaged or missing run; changes nothing."""
    with _log() as opened:
        damages = opened.damages()
    for damage in damages:
        click.echo(f"offsets {damage.first} to {damage.last} {damage.topic}: {damage.reason}", err=True)
    if damages:
        raise click.ClickException(
            "the log is damaged; `saima log repair` sets what is damaged aside and keeps its bytes"
        )
    click.echo("the log is whole")


@log.command("repair")
@click.confirmation_option(prompt="Set damaged segments aside, so that consumers pass them by?")
def repair() -> None:
    """Set damaged segments aside; their bytes are kept beside the log, and nothing else changes."""
    with _log() as opened:
        damages = opened.repair()
        kept = opened.path.parent / "set-aside"
    for damage in damages:
        click.echo(f"set aside: offsets {damage.first} to {damage.last} {damage.topic}: {damage.reason}")
    click.echo(f"{len(damages)} runs set aside in {kept}" if damages else "the log is whole; nothing was changed")


@log.command("trim")
@click.argument("before", type=click.IntRange(min=1))
def trim(before: int) -> None:
    """Cut whole segments below offset BEFORE; refuses what a consumer has not read."""
    with _log() as opened:
        click.echo(f"the log now begins after offset {opened.trim(before)}")


@contextmanager
def _log() -> Iterator[SqliteLog]:
    from saima.stores import open_log

    chosen = settings()
    if not (chosen.home / "log" / "events.db").exists():
        raise click.ClickException(f"there is no event log under {chosen.home}; `saima up` makes one")
    opened = open_log(chosen)
    try:
        yield opened
    finally:
        opened.close()
