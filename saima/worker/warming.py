"""Windows and rows that are built of history while the stream goes on, and catch up with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from saima.errors import SaimaError
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.worker.catalog import Catalog
from saima.worker.engines import Aggregates
from saima.worker.history import build
from saima.worker.parts import parts

Frames = Callable[[], dict[str, pl.LazyFrame]]


class Warming(threading.Thread):
    """Builds the online tables of a catalog on a thread of its own, out of event tables up to an offset.

    `keep` takes the batches after that offset; `changes`, once the thread has ended, gives the entities of all of them.
    These depend on the set of events alone, so it does not matter how long it took. `error` says why it failed.
    """

    def __init__(self, found: Catalog, frames: Frames, share: Share) -> None:
        super().__init__(name="warming", daemon=True)
        self.catalog = found
        self.size = 0
        self.error = ""
        self._topics = set(found.tables.values())
        self._frames = frames
        self._share = share
        self._kept: list[tuple[str, pa.Table]] = []
        self._built: dict[tuple[str, str], bytes | None] = {}

    def run(self) -> None:
        """Build."""
        try:
            for table, key, data in build(self.catalog, set(self.catalog.tables), self._frames(), self._share):
                self._built[table, key] = data
        except (SaimaError, OSError, ValueError, pl.exceptions.PolarsError) as error:
            self.error = f"{type(error).__name__}: {error}"
        except BaseException as error:  # the worker would wait for ever
            self.error = f"{type(error).__name__}: {error}"
            raise

    def keep(self, tables: Mapping[str, pa.Table]) -> None:
        """Remember the accepted rows of a batch, by topic, that came after the offset."""
        for topic, table in tables.items():
            if topic in self._topics:
                rows = table.filter(pc.invert(table.column("late")))
                self._kept.append((topic, rows))
                self.size += rows.nbytes

    def changes(self) -> list[Change]:
        """Every entity of the tables, all kept batches in it."""
        for part in parts(self.catalog, self._share):
            aggregates = Aggregates(part, self.catalog, self._load)
            for topic, table in self._kept:
                aggregates.process(topic, table)
            for name, key, data in aggregates.changes():
                self._built[name, key] = data
        return [(table, key, data) for (table, key), data in self._built.items()]

    def _load(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        return [self._built.get((table, key)) for key in keys]
