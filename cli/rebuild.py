"""`saima rebuild`: give the stream worker empty online stores, which it builds from the tables and the log."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import click

from saima.settings import settings
from saima.stores import open_log
from saima.stores.environments import lock_writer
from saima.stores.shards import former


@click.command("rebuild")
@click.option("--shard", type=int, help="Only this shard's store; without it all, as another number of shards needs.")
def rebuild(shard: int | None) -> None:
    """Set the online stores aside; the next worker builds them anew from the event tables and the log.

    This is also how the number of shards (SAIMA_SHARDS) is changed. Nothing is deleted and nothing counted twice:
    samples and event rows that the tables hold already carry the offset that caused them.
    """
    chosen = settings()
    found = [path for path in sorted((chosen.home / "online").glob("shard-*")) if path.name[6:].isdecimal()]
    if shard is not None:
        found = [path for path in found if path.name == f"shard-{shard}"]
    if not found:
        where = chosen.home / "online" / ("" if shard is None else f"shard-{shard}")
        raise click.ClickException(f"there is no online store in {where}; the next worker makes one")
    stamp = time.time_ns() // 1_000_000
    with ExitStack() as locks:
        for folder in found:
            locks.enter_context(lock_writer(folder))
        _begin_anew(found, chosen.shards)
        for folder in found:
            folder.rename(folder.with_name(f"{folder.name}.set-aside-{stamp}"))
    names = ", ".join(f"{folder.name}.set-aside-{stamp}" for folder in found)
    click.echo(f"set aside in {chosen.home / 'online'}: {names}; the next `saima up` or `saima worker` builds anew")


def _begin_anew(folders: list[Path], shards: int) -> None:
    """Tell the log, before the state goes, that its records are needed from the first on, by the shards of now."""
    log = open_log(settings())
    try:
        known = log.consumers()
        for folder in folders:
            name = f"worker/{folder.name[6:]}"
            if name in known:
                log.register(name, {0: 0})
        for name in former(known, shards):
            log.unregister(name)
    finally:
        log.close()
