"""The sample join of one algorithm over the log: which topics it reads, its watermark, its stored state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from saima.errors import DeclarationError, SaimaError
from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.stores.interfaces import OnlineRead
from saima.stores.shards import Owns, everything
from saima.streams.join import Fetch, Join, Sample
from saima.streams.lateness import Clock
from saima.streams.schemes import JoinSpec, Label

STATE = "join_state"
"""Online table of the joins' counters and clocks, by algorithm."""

Change = tuple[str, str, bytes | None]
"""Table, key, packed value or None to delete."""


class Prediction(NamedTuple):
    """A journal record, as the join sees it: one of the `parts` requests that asked for the candidates of a trace."""

    offset: int
    appended: int
    trace: str
    time: int
    attempt: int
    excluded: bool
    items: tuple[str, ...]
    record: bytes
    part: int = 0
    parts: int = 1


class Happening(NamedTuple):
    """A row of the label's or the exposure's topic; a null `value` is no outcome; late rows are only counted.

    `item` is "" where the label is joined by the trace alone.
    """

    offset: int
    appended: int
    topic: str
    trace: str | None
    item: str | None
    time: int
    seq: int
    value: float | None
    late: bool


class Emitted(NamedTuple):
    """A sample and the row of the log that caused it."""

    sample: Sample
    offset: int
    appended: int


def identity(declaration: Declaration, topic: str) -> tuple[str, str | None]:
    """Columns of the label's or the exposure's topic that name the trace and, where it is joined by, the candidate.

    Raises DeclarationError where the candidate has no field.
    """
    fields = declaration.sources[topic].fields
    trace = "trace" if "trace" in fields else "key"
    if declaration.label is None or "item" not in declaration.label.join:
        return trace, None
    item = next((name for name in ("item_id", "item") if name in fields), None)
    if item is None:
        raise DeclarationError(
            f"algorithm '{declaration.algorithm}': its label is joined by item, and source '{topic}' has no field "
            "item_id or item"
        )
    return trace, item


def join_spec(declaration: Declaration) -> JoinSpec:
    """The join's rules out of a declaration that has a label."""
    label = declaration.label
    assert label is not None
    return JoinSpec(
        label.scheme,
        attribution=milliseconds(label.attribution),
        wait=milliseconds(label.wait),
        lateness=milliseconds(label.lateness),
        valued=label.value is not None,
        exposed=label.exposure is not None,
    )


class SampleJoin:
    """The join of one algorithm; `fetch` reads packed traces of table `join/<algorithm>`.

    A prediction is taken in for as long as its attribution is open, however late its record comes: a host may have died
    with it in its spool. Labels and exposures are one stream of outcomes, with one clock: a click that does not come
    holds nothing back while impressions do. A shard joins the traces that it owns; the rows of all others move its
    clocks, so that a sample has the same cause whatever the number of shards.
    """

    def __init__(self, algorithm: str, declaration: Declaration, fetch: Fetch, owns: Owns = everything) -> None:
        self._owns = owns
        label = declaration.label
        if label is None:
            raise SaimaError(f"algorithm '{algorithm}' declares no label: there is nothing to join")
        self.algorithm = algorithm
        self.declaration = declaration
        self.table = f"join/{algorithm}"
        self.label = label
        self.spec = join_spec(declaration)
        bound = self.spec.lateness or milliseconds(declaration.sources[label.source].lateness)
        self._outcomes = Clock(bound)
        self._journal = Clock(bound)
        self._join = Join(self.spec, fetch)
        self._changed = False

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics, beside the journal, whose rows the join reads."""
        return (self.label.source, self.label.exposure) if self.label.exposure else (self.label.source,)

    @property
    def counters(self) -> dict[str, int]:
        """Counts since the beginning, by name."""
        return dict(self._join.counters.values)

    @property
    def watermark(self) -> int:
        """Event time below which every row is out."""
        return self._join.watermark

    def process(self, rows: Sequence[Prediction | Happening]) -> list[Emitted]:
        """Take in rows in order of offsets; each sample carries the offset that caused it, however rows are batched."""
        self._changed |= bool(rows)
        self._join.prefetch(row.trace for row in rows if row.trace is not None and self._owns(row.trace))
        emitted: list[Emitted] = []
        for row in rows:
            made = self._predict(row) if isinstance(row, Prediction) else self._happen(row)
            made += self._join.advance(self._watermark())
            if made:
                emitted += [Emitted(sample, row.offset, row.appended) for sample in made]
        return emitted

    def changes(self) -> list[Change]:
        """Changed traces and, with them, counters and clocks."""
        if not self._changed:
            return []
        self._changed = False
        state = {
            "counters": self._join.counters.values,
            "labels": self._outcomes.newest,
            "journal": self._journal.newest,
            "watermark": self._join.watermark,
        }
        changes: list[Change] = [(self.table, trace, packed) for trace, packed in self._join.changes()]
        return [*changes, (STATE, self.algorithm, json.dumps(state).encode())]

    def restore(self, read: OnlineRead) -> None:
        """Continue from what an earlier process committed."""
        (stored,) = read.get_many(STATE, [self.algorithm])
        if stored is None:
            return
        state = json.loads(stored)
        self._outcomes = Clock(self._outcomes.lateness, state["labels"])
        self._journal = Clock(self._journal.lateness, state["journal"])
        self._join.restore(read.scan(self.table), state["counters"], state["watermark"])

    def _watermark(self) -> int:
        if self.spec.scheme == "once":
            return self._outcomes.watermark
        return min(self._outcomes.watermark, self._journal.watermark)

    def _predict(self, row: Prediction) -> list[Sample]:
        _, self._journal = self._journal.see(row.time)
        if not self._owns(row.trace):
            return []
        return self._join.predict(
            row.trace, row.time, row.record, row.items, row.attempt, row.excluded, row.part, row.parts
        )

    def _happen(self, row: Happening) -> list[Sample]:
        tardy, self._outcomes = self._outcomes.see(row.time)
        if not self._owns(row.trace or ""):
            return []
        if row.late or tardy:
            self._join.counters.add("late")
            return []
        if row.trace is None or row.item is None:
            self._join.counters.add("orphan")
            return []
        if row.topic == self.label.exposure:
            return self._join.expose(row.trace, row.time, row.item)
        if row.value is None:
            return []
        return self._join.label(row.trace, Label(row.time, row.seq, row.offset, row.value, row.appended), row.item)
