"""The stores: one seam each (`interfaces`), opened on the backend that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.errors import StoreError, suggest
from saima.settings import Settings
from saima.settings import settings as process_settings

if TYPE_CHECKING:
    from saima.stores.log import SqliteLog
    from saima.stores.online import LmdbStore
    from saima.stores.registry import SqlRegistry
    from saima.stores.shards import ShardedStore
    from saima.stores.tables import DeltaTables

__all__ = ["open_log", "open_online", "open_reader", "open_registry", "open_tables"]


def open_log(settings: Settings | None = None) -> SqliteLog:
    """The event log, created if it is not there: `<home>/log/events.db`."""
    from saima.stores.log import SqliteLog

    chosen = settings or process_settings()
    _refuse("log_backend", chosen.log_backend, "sqlite")
    return SqliteLog(chosen.home / "log" / "events.db")


def open_online(shard: int = 0, settings: Settings | None = None, writer: bool = False) -> LmdbStore:
    """The online store of a shard: `<home>/online/shard-<n>/`. Only a writer creates it; there is one at a time."""
    from saima.stores.online import LmdbStore

    chosen = settings or process_settings()
    _refuse("online_backend", chosen.online_backend, "lmdb")
    if writer:
        _refuse_more(chosen)
    return LmdbStore(chosen.home / "online" / f"shard-{shard}", writer=writer, sync=chosen.fsync)


def open_reader(settings: Settings | None = None) -> LmdbStore | ShardedStore:
    """The online stores of all shards as one, for reading.

    Raises StoreError where the home has more shards than the settings say: keys would be looked for where they are not.
    """
    chosen = settings or process_settings()
    _refuse_more(chosen)
    if chosen.shards == 1:
        return open_online(0, chosen)
    from saima.stores.shards import ShardedStore

    return ShardedStore([open_online(shard, chosen) for shard in range(chosen.shards)])


def open_tables(settings: Settings | None = None) -> DeltaTables:
    """The offline tables: `<home>/tables/<name>`."""
    from saima.stores.tables import DeltaTables

    chosen = settings or process_settings()
    _refuse("tables_backend", chosen.tables_backend, "delta")
    return DeltaTables(chosen.home / "tables")


def open_registry(settings: Settings | None = None) -> SqlRegistry:
    """The registry, created if it is not there: `<home>/registry.db` or the address that the settings give."""
    from saima.stores.registry import SqlRegistry

    return SqlRegistry((settings or process_settings()).registry_address)


def _refuse_more(settings: Settings) -> None:
    """Raise StoreError where a home has more shards than its settings say."""
    if (settings.home / "online" / f"shard-{settings.shards}").exists():
        raise StoreError(
            f"{settings.home / 'online'} has more shards than SAIMA_SHARDS={settings.shards}: set it as it was when "
            "the worker ran, or run `saima rebuild`, which changes their number"
        )


def _refuse(name: str, value: str, known: str) -> None:
    if value != known:
        raise StoreError(f"{name}='{value}' is not a backend of this version; use '{known}'{suggest(value, [known])}")
