"""Events of history as features read them: whole, or cut by time and key so that what is held fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.errors import SaimaError, suggest
from saima.features.declaration import Declaration
from saima.features.encodings import decoded
from saima.features.keys import key_expr
from saima.features.operators.identity import farmhash

Ints = npt.NDArray[np.int64]
Events = Mapping[str, pl.LazyFrame]
Part = tuple[Ints | None, pl.DataFrame]
"""Rows of a request log (None: all of them), and the events that their keys can have."""

BYTES = 200
"""What an event costs while its windows are computed, at most: its columns, their sorted copies, sums and extremes."""


@dataclass(frozen=True)
class Slice:
    """Events of a topic that some rows of a request log read: by the columns of a key, from a time to before another.

    `time` is the column that is meant, `low` None the beginning.
    """

    topic: str
    key: tuple[str, ...]
    columns: frozenset[str]
    time: str
    low: int | None
    high: int


class History:
    """Accepted events by topic. Without a bound on memory a topic is collected once, with all that `columns` name."""

    def __init__(
        self, declaration: Declaration, events: Events, columns: Mapping[str, frozenset[str]], memory: int | None = None
    ) -> None:
        self._declaration = declaration
        self._events = events
        self._columns = columns
        self._memory = memory
        self._frames: dict[str, pl.DataFrame] = {}

    @property
    def is_whole(self) -> bool:
        """Whether a part is always the whole topic."""
        return self._memory is None

    def parts(self, wanted: Slice, keys: pl.Series) -> Iterator[Part]:
        """The slice in as many parts, by the hash of its key, as memory asks for; SaimaError if it is not given.

        keys: key of every row of the request log. Each row is in one part, with all events of its key.
        """
        if self._memory is None:
            if wanted.topic not in self._frames:
                scan = self._accepted(wanted.topic, self._columns[wanted.topic])
                self._frames[wanted.topic] = self._native(wanted.topic, scan.collect())
            yield None, self._frames[wanted.topic]
            return
        scan = self._accepted(wanted.topic, wanted.columns)
        moment = pl.col(wanted.time).cast(pl.Int64)
        scan = scan.filter(moment < wanted.high)
        if wanted.low is not None:
            scan = scan.filter(moment >= wanted.low)
        rows = int(scan.select(pl.len()).collect(engine="streaming").item())
        count = -(-rows * BYTES // self._memory)
        if count <= 1:
            yield None, self._native(wanted.topic, scan.collect(engine="streaming"))
            return
        of_rows = _part(pl.Series("key", keys).to_frame(), [pl.col("key")], count)
        for part in range(count):
            at = np.flatnonzero(of_rows == part)
            if len(at):
                here = farmhash(key_expr([pl.col(name) for name in wanted.key])) % count == part
                yield at, self._native(wanted.topic, scan.filter(here).collect(engine="streaming"))

    def _accepted(self, topic: str, columns: frozenset[str]) -> pl.LazyFrame:
        """Accepted rows of a topic with the columns that features read of them."""
        if topic not in self._events:
            raise SaimaError(f"events of '{topic}' are not given{suggest(topic, self._events)}")
        events, source = self._events[topic], self._declaration.sources[topic]
        known = events.collect_schema().names()
        missing = [name for name in ("time", *source.fields) if name not in known]
        if missing:
            raise SaimaError(f"events of '{topic}' have no column '{missing[0]}'{suggest(missing[0], known)}")
        if "late" in known:
            events = events.filter(~pl.col("late"))
        names = [name for name in ("time", "seq", "offset", *source.fields) if name in known and name in columns]
        return events.select(list(dict.fromkeys(names)))

    def _native(self, topic: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Lists, maps and decimals in the form of frames; the columns in one piece."""
        fields = self._declaration.sources[topic].fields
        nested = [name for name in frame.columns if "<" in fields.get(name, "") or "(" in fields.get(name, "")]
        return frame.with_columns(decoded(frame.get_column(name), fields[name]) for name in nested).rechunk()


def joined(pieces: Sequence[tuple[Ints | None, Sequence[pl.Series]]]) -> list[pl.Series]:
    """Columns of all rows, in their order, from those of the parts."""
    if len(pieces) == 1 and pieces[0][0] is None:
        return list(pieces[0][1])
    order = np.concatenate([at for at, _ in pieces if at is not None])
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    columns = zip(*[columns for _, columns in pieces], strict=True)
    return [pl.concat(list(column)).gather(pl.Series(back)) for column in columns]


def _part(frame: pl.DataFrame, key: Sequence[pl.Expr], count: int) -> Ints:
    """Part of each row by its key; a row without a key is in the first."""
    parts = frame.select((farmhash(key_expr(key)) % count).cast(pl.Int64).fill_null(0)).to_series()
    found: Ints = parts.to_numpy()
    return found
