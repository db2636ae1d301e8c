"""A shard's admitted rows in order of time: what engines behind the watermark take, and what let it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from saima.events import Topic
from saima.streams.ordering import ENVELOPE, Sorter

Ints = np.ndarray[Any, np.dtype[np.int64]]


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

    The watermark is the newest time of any of the topics that are heard, minus the greatest lateness among these;
    lateness is judged row by row, also within a batch.
    """

    def __init__(self, topics: Mapping[str, Topic], lateness: Mapping[str, int]) -> None:
        self.sorter = Sorter(_fields(topics.values()))
        self._lateness = dict(lateness)

    def take(
        self, tables: Mapping[str, pa.Table], heard: Sequence[str], low: int = -1, high: int | None = None
    ) -> Passed | None:
        """What rows of the heard topics with offsets above `low` and below `high` let out; None if there are none."""
        frames = [_rows(tables[topic], self.sorter.fields, low, high) for topic in heard if topic in tables]
        frames = [frame for frame in frames if frame.height]
        if not frames:
            return None
        rows = pl.concat(frames).sort("offset")
        times = rows["time"].to_numpy()
        bound = max(self._lateness[topic] for topic in heard)
        marks = np.maximum(np.maximum.accumulate(times) - bound, self.sorter.watermark)
        late = times < np.concatenate([[self.sorter.watermark], marks[:-1]])
        self.sorter.late += int(late.sum())
        self.sorter.process_batch(rows.filter(~late))
        watermark = int(marks[-1])
        return Passed(self.sorter.release(watermark), watermark, marks, rows["offset"].to_numpy())


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
    """Rows of a topic between two offsets, in the sorter's columns, with their offsets."""
    frame = pl.DataFrame(table)
    wanted = pl.col("offset") > low
    if high is not None:
        wanted &= pl.col("offset") < high
    columns = [pl.col(name).cast(dtype) for name, dtype in ENVELOPE.items()]
    columns += [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in fields.items()
    ]
    return frame.filter(wanted).select(*columns, "offset")
