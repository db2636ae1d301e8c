"""The aggregation engine: standard events into the tiles of all definitions, read by name, key and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl

from saima.events import Event
from saima.features.declaration import Source
from saima.features.durations import milliseconds
from saima.features.windows.where import predicate
from saima.streams.aggregation import image
from saima.streams.aggregation.definition import Definition
from saima.streams.aggregation.intake import LATE, PLACE, Intake, Late
from saima.streams.aggregation.plan import columns, plan
from saima.streams.aggregation.readership import Readership
from saima.streams.aggregation.tiles import View, expiry
from saima.streams.engine import Change
from saima.streams.lateness import BEGINNING, Clock
from saima.streams.tiles import Backend, TileEngine

META = "clocks"
"""Key of `changes` that holds the clocks, counters and readership."""


class Aggregation:
    """Windows over streams, as the engine contract has it; outputs are events that came too late.

    `backend`: columns is quickest, for batches by far; what columns cannot hold, and what is of tier
    on_read, is held in rows. Both keep equal tiles.
    """

    def __init__(
        self, definitions: Iterable[Definition], sources: Mapping[str, Source], backend: Backend = "rows"
    ) -> None:
        self.plan = plan(definitions, sources)
        self.sources, self.backend = dict(sources), backend
        self.readership = Readership(name for name, one in self.plan.definitions.items() if one.tier == "eager")
        self.predicates = {
            table: predicate(sources[group.source], group.where, f"aggregates over '{group.source}'")
            for table, group in self.plan.groups.items()
            if group.where
        }
        noted = [table for table, tier in self.plan.tiers.items() if tier != "eager"]
        self._engine = TileEngine(self.plan.groups.values(), None, self.predicates, backend, noted)
        self.tiles = self._engine.tiles
        self._intakes = {name: self._intake(name) for name in self._engine.topics}
        self._views: dict[str, list[tuple[View, list[tuple[int, str]]]]] = {}
        self._gone: list[tuple[str, str]] = []
        self._expired = BEGINNING

    def _intake(self, name: str) -> Intake:
        tiles = [tiles for table, tiles in self.tiles.items() if self.plan.groups[table].source == name]
        return Intake(self.sources[name], tiles, Clock(milliseconds(self.sources[name].lateness)))

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """By source: events that were accepted, and late."""
        return {name: {"accepted": one.accepted, "late": one.late} for name, one in self._intakes.items()}

    def process(self, event: Event) -> list[Late]:
        intake = self._intakes.get(event.type)
        return [] if intake is None else intake.take(event)

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        if events.is_empty():
            return pl.DataFrame(schema=LATE)
        if events.get_column("type").n_unique() == 1:
            name = events.item(0, "type")
            return self._take(name, events) if name in self._intakes else pl.DataFrame(schema=LATE)
        parts = [(name, events.with_row_index(PLACE).filter(type=name)) for name in sorted(self._intakes)]
        late = [self._take(name, one) for name, one in parts if one.height]
        return pl.concat(late).sort(PLACE).drop(PLACE) if late else pl.DataFrame(schema=LATE)

    def _take(self, name: str, events: pl.DataFrame) -> pl.DataFrame:
        accepted, late = self._intakes[name].judge(events)
        self._engine.process_batch(accepted, name)
        return late

    def advance(self, watermark: int) -> list[Late]:
        """Drop keys that no read from the watermark on can see any more; time alone makes no output."""
        step = max((group.reach for group in self.plan.groups.values()), default=0) // 8
        if watermark < self._expired + step:
            return []
        self._expired = watermark
        for table, tiles in self.tiles.items():
            self._gone += [(table, key) for key in tiles.expire(expiry(tiles.group, watermark))]
        return []

    def settle(self) -> None:
        """Fold all that was only noted of single events."""
        for tiles in self.tiles.values():
            tiles.settle()

    def count(self) -> int:
        """How many closed tiles are held."""
        return sum(tiles.count() for tiles in self.tiles.values())

    def read(self, name: str, key: str, q: int) -> dict[str, Any]:
        """Measures of a definition by `<measure>_<window>`, of a key as of q.

        Raises SaimaError for an unknown name, NotStreamed for tier batch, BehindHead where q is too far back,
        WindowOverflow where an int64 sum does not fit.
        """
        found: dict[str, Any] = {}
        for view, places in self._view(name):
            values = view.read(key, q)
            for place, column in places:
                found[column] = values[place]
        self.readership.read(name, q)
        return found

    def read_batch(self, name: str, keys: Sequence[str], q: Sequence[int]) -> dict[str, list[Any]]:
        """The same for many keys, each with its q: lists by column."""
        found: dict[str, list[Any]] = {}
        for view, places in self._view(name):
            rows = view.read_batch(pl.Series(keys, dtype=pl.String), np.array(q, np.int64))
            for place, column in places:
                found[column] = [row[place] for row in rows]
        self.readership.read(name, max(q, default=BEGINNING))
        return found

    def _view(self, name: str) -> list[tuple[View, list[tuple[int, str]]]]:
        views = self._views.get(name)
        if views is None:
            definition = self.plan.definition(name)
            views = self._views[name] = [
                (
                    self.tiles[answer.table].view(answer.asks),
                    [(place, column) for place, ask in enumerate(answer.asks) for column in columns(definition, ask)],
                )
                for answer in self.plan.answers[definition.digest]
            ]
        return views

    def unread(self, now: int, days: int) -> list[str]:
        """Eager definitions that nobody has read for so many days, as of now (ms): they are computed for nobody."""
        return self.readership.unread(now, days)

    def changes(self) -> list[Change]:
        """Packed entities by `<table>/<key>` that changed since the last call, None for dropped ones; the clocks."""
        found: list[Change] = [
            (f"{table}/{key}", data) for table in sorted(self.tiles) for key, data in self._changed(table)
        ]
        return [*found, (META, image.header(self._state()))]

    def _changed(self, table: str) -> list[tuple[str, bytes | None]]:
        tiles = self.tiles[table]
        packed: dict[str, bytes | None] = {key: None for gone, key in self._gone if gone == table and key not in tiles}
        self._gone = [pair for pair in self._gone if pair[0] != table]
        packed.update(tiles.pack(changed=True))
        return sorted(packed.items())

    def load(self, table: str, keys: Sequence[str], entities: Sequence[bytes]) -> None:
        """Take in packed entities of keys that are not held; tables that the plan does not have are left out."""
        if table in self.tiles:
            self.tiles[table].load(keys, entities)

    def _state(self) -> dict[str, Any]:
        return {
            "definitions": [one.document() for one in self.plan.definitions.values()],
            "sources": {name: source.model_dump(mode="json") for name, source in self.sources.items()},
            "digest": self.plan.digest,
            "backend": self.backend,
            "clocks": {name: one.state() for name, one in self._intakes.items()},
            "read": self.readership.state(),
            "expired": self._expired,
        }

    def snapshot(self) -> bytes:
        return image.write(self._state(), {table: tiles.pack(changed=False) for table, tiles in self.tiles.items()})

    @classmethod
    def restore(cls, snapshot: bytes, backend: Backend | None = None) -> Self:
        """An engine that continues where the snapshot was taken, in the same backend unless another is named.

        Raises StoreError if the snapshot is damaged, or computes something else than its definitions say now.
        """
        state, tables = image.read(snapshot)
        made = cls(*image.declared(state), backend or state["backend"])
        image.same(state["digest"], made.plan.digest)
        for table, (keys, entities) in tables.items():
            made.load(table, keys, entities)
        for name, clock in state["clocks"].items():
            made._intakes[name].resume(clock)
        made.readership.resume(state["read"])
        made._expired = state["expired"]
        return made
