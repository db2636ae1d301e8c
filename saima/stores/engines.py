"""SQLAlchemy engines: SQLite opened as the other files are, with transactions that take the write lock at once."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from saima.errors import StoreError
from saima.stores.sqlite import connect, explain


def open_engine(address: str) -> sa.Engine:
    """The engine of an address, such as `sqlite:////data/registry.db` or `postgresql+psycopg2://host/saima`.

    Raises StoreError for an address that cannot be read, or whose driver is not installed.
    """
    try:
        url = sa.make_url(address)
        if url.get_backend_name() != "sqlite":
            return sa.create_engine(url, pool_pre_ping=True)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise StoreError(f"registry_url='{address}' cannot be used: {error}") from error
    if not url.database:
        raise StoreError(f"registry_url='{address}' names no file; several processes share the registry")
    path = Path(url.database)
    # synchronous=FULL: a publication number must not be given twice after a power cut.
    engine = sa.create_engine(url, creator=lambda: connect(path, synchronous="FULL"), poolclass=sa.QueuePool)
    sa.event.listen(engine, "begin", _begin)
    return engine


def describe(engine: sa.Engine, doing: str = "", error: BaseException | None = None) -> str:
    """The registry's place; with an error, the sentence that explains it."""
    place = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    name = f"the registry {place or engine.url.render_as_string(hide_password=True)}"
    if error is None:
        return name
    if place is not None:
        return explain(place, f"{doing} the registry", error)
    return f"cannot {doing} {name}: {error}"


def _begin(connection: sa.Connection) -> None:
    if connection.get_isolation_level() != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
