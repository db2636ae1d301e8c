"""`saima rebuild`: give the stream worker an empty online store, which it builds from the tables and the log."""

from __future__ import annotations

import time

import click

from saima.settings import settings
from saima.stores.environments import lock_writer


@click.command("rebuild")
@click.option("--shard", default=0, show_default=True, help="Which shard's store.")
def rebuild(shard: int) -> None:
    """Set a shard's online store aside; the next worker builds it anew from the event tables and the log.

    Nothing is deleted and nothing counted twice: samples and event rows that the tables hold already carry the offset
    that caused them.
    """
    folder = settings().home / "online" / f"shard-{shard}"
    if not folder.exists():
        raise click.ClickException(f"there is no online store in {folder}; the next worker makes one")
    aside = folder.with_name(f"{folder.name}.set-aside-{time.time_ns() // 1_000_000}")
    with lock_writer(folder):
        folder.rename(aside)
    click.echo(f"the old store is in {aside}; the next `saima up` or `saima worker` builds a new one")
