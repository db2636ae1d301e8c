"""A shard's admitted rows in order of time: what engines behind the watermark take, and what let it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from saima.events import Topic
from saima.stores.shards import Share
from saima.streams.engine import Change
from saima.streams.ordering import ENVELOPE, Sorter
from saima.streams.watermarks import Rows, Silence, Watermarks

Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MARKS = "marks"
"""Key of the topics' watermarks among the changes of what waits."""


@dataclass(frozen=True)
class Passed:
    """Events that the watermark has passed, in order, and the watermark. marks: the watermark after each of the rows
    that came, offsets: theirs."""

    events: pl.DataFrame
    watermark: int
    marks: Ints
    offsets: Ints

    def causes(self, moments: Ints, *, reached: bool = False) -> pl.Series:
        """Offsets of the rows whose watermark went beyond each moment, or only reached it."""
        places = np.searchsorted(self.marks, moments, "left" if reached else "right")
        return pl.Series(self.offsets[np.minimum(places, len(self.offsets) - 1)], dtype=pl.Int64)


class InOrder:
    """Holds rows of topics back until the watermark has passed them.

    The watermark is that of `Watermarks` over the topics that are heard, with each topic's lateness and idle timeout
    (ms); a row behind it is late, judged row by row, also within a batch.
    """

    def __init__(
        self,
        topics: Mapping[str, Topic],
        lateness: Mapping[str, int],
        idle: Mapping[str, int | None],
        share: Share,
        *,
        whole: bool = True,
    ) -> None:
        """All rows move the watermark; a shard counts late ones of its keys, and holds all (`whole`) or its own."""
        self.sorter = Sorter(_fields(topics.values()))
        self._marks = Watermarks(lateness, idle)
        self._share = share
        self._whole = whole

    def take(
        self,
        tables: Mapping[str, pa.Table],
        silences: Sequence[Silence],
        heard: Sequence[str],
        low: int = -1,
        high: int | None = None,
    ) -> Passed | None:
        """What rows of the heard topics with offsets above `low` and below `high` let out; None if there are none."""
        frames = [
            _rows(tables[topic], self.sorter.fields, low, high).with_columns(_place=pl.lit(place, pl.Int64))
            for place, topic in enumerate(heard)
            if topic in tables
        ]
        frames = [frame for frame in frames if frame.height]
        quiet = [one for one in silences if one.source in heard and low < one.offset and not _after(one, high)]
        if not frames and not quiet:
            return None
        if frames:
            rows = pl.concat(frames).sort("offset")
            times = rows["time"].to_numpy()
            columns = _columns(rows, times)
        else:
            rows, times, columns = pl.DataFrame(), np.zeros(0, np.int64), Rows(*np.zeros((6, 0), np.int64))
        if quiet:
            columns = _with_silence(columns, quiet, heard)
        before = self.sorter.watermark
        marks = np.maximum(self._marks.follow(heard, columns), before)
        late = times < np.concatenate([[before], marks[:-1]])[columns.silent < 0]
        if rows.height:
            self._hold(rows, late)
        watermark = int(marks[-1])
        return Passed(self.sorter.release(watermark), watermark, marks, columns.offsets)

    def _hold(self, rows: pl.DataFrame, late: Flags) -> None:
        if not self._share.alone:
            own = self._share.mask(rows["key"]).to_numpy()
            self.sorter.late += int((late & own).sum())
            rows = rows.filter(~late if self._whole else own & ~late)
        elif late.any():
            self.sorter.late += int(late.sum())
            rows = rows.filter(~late)
        if rows.height:
            self.sorter.process_batch(rows)

    def due(self, heard: Sequence[str], silent: Mapping[str, int], engine: int | None) -> bool:
        """Whether silence of topics, recorded now (ms by topic), would let something out of the sorter or of an engine
        behind it, whose next moment is `engine`."""
        watermark = self._marks.after(heard, silent) if heard else None
        if watermark is None or watermark <= self.sorter.watermark:
            return False
        first = self.sorter.first
        return (first is not None and first < watermark) or (engine is not None and engine <= watermark)

    def changes(self) -> list[Change]:
        """State changed since the last call."""
        state = json.dumps(self._marks.state(), separators=(",", ":"), sort_keys=True)
        return [*self.sorter.changes(), (MARKS, state.encode())]

    def load(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in what the `changes` of an earlier process left in the store."""
        held = dict(items)
        marks = held.pop(MARKS, None)
        if marks is not None:
            self._marks.restore(json.loads(marks))
        self.sorter.load(held.items())


def _fields(topics: Iterable[Topic]) -> dict[str, pl.DataType]:
    """Scalar fields of all topics; a name that two topics give different types is a float64, or a text."""
    found: dict[str, pl.DataType] = {}
    for topic in topics:
        for name, dtype in pl.DataFrame(topic.schema.empty_table()).schema.items():
            if name in ENVELOPE or name == "appended" or dtype.is_nested():
                continue
            known = found.setdefault(name, dtype)
            if known != dtype:
                found[name] = pl.Float64() if known.is_numeric() and dtype.is_numeric() else pl.String()
    return found


def _rows(table: pa.Table, fields: Mapping[str, pl.DataType], low: int, high: int | None) -> pl.DataFrame:
    """Rows of a topic between two offsets, in the sorter's columns, with their offsets and wall clocks."""
    frame = pl.DataFrame(table)
    wanted = pl.col("offset") > low
    if high is not None:
        wanted &= pl.col("offset") < high
    columns = [pl.col(name).cast(dtype) for name, dtype in ENVELOPE.items()]
    columns += [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in fields.items()
    ]
    return frame.filter(wanted).select(*columns, "offset", pl.col("appended").alias("_now"))


def _after(silence: Silence, high: int | None) -> bool:
    return high is not None and silence.offset >= high


def _columns(rows: pl.DataFrame, times: Ints) -> Rows:
    none = np.full(rows.height, -1)
    return Rows(rows["_place"].to_numpy(), times, rows["_now"].to_numpy(), rows["offset"].to_numpy(), none, none)


def _with_silence(rows: Rows, silences: Sequence[Silence], heard: Sequence[str]) -> Rows:
    """Rows with records of silence among them, in order of offsets."""
    more = np.array([(heard.index(one.source), 0, one.now, one.offset, one.silent, one.seen) for one in silences])
    both = [np.concatenate([held, new]) for held, new in zip(vars(rows).values(), more.T, strict=True)]
    order = np.argsort(both[3])
    return Rows(*(column[order] for column in both))
