"""Output rows that wait, in the state's own transaction, to be drained to a sink: Arrow, each with its cause.

Every row has the column `offset`, the offset of the log that caused it. An entry holds all rows that one commit has
for a sink; its key is the greatest offset that the commit covers, so entries never share a cause.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from saima.streams.samples import Emitted
from saima.worker.intake import Logged

PREFIX = "outbox/"

SAMPLES = pa.schema(
    [
        ("trace", pa.string()),
        ("item", pa.string()),
        ("index", pa.int64()),
        ("label", pa.float64()),
        ("label_time", pa.int64()),
        ("label_offset", pa.int64()),
        ("label_appended", pa.int64()),
        ("role", pa.string()),
        ("offset", pa.int64()),
        ("record", pa.binary()),
    ]
)
"""A sample in the outbox: the drainer turns `record`, the snapshot's JSON, into the feature columns."""

JOURNAL = pa.schema(
    [
        ("trace", pa.string()),
        ("attempt", pa.int64()),
        ("time", pa.int64()),
        ("answered", pa.int64()),
        ("version", pa.int64()),
        ("lineage", pa.string()),
        ("experiment", pa.string()),
        ("arm", pa.string()),
        ("unit", pa.string()),
        ("whole", pa.bool_()),
        ("degraded", pa.bool_()),
        ("shadow", pa.bool_()),
        ("override", pa.bool_()),
        ("boot", pa.string()),
        ("number", pa.int64()),
        ("appended", pa.int64()),
        ("offset", pa.int64()),
        ("record", pa.string()),
    ]
)
"""A journal record as a row of `<algorithm>/journal`; `record` is the whole of it."""


def table(sink: str) -> str:
    """Online table that holds a sink's outbox."""
    return PREFIX + sink


def entry_key(last: int) -> str:
    """Key of the entry of the commit that covers the log up to `last`."""
    return f"{last:020d}"


def sample_rows(emitted: Sequence[Emitted]) -> pa.Table:
    """Samples as outbox rows. A row that no label made (a presumed negative) is timed by its own moment."""
    columns: list[list[object]] = [[] for _ in SAMPLES]
    for row in emitted:
        sample, label = row.sample, row.sample.row.of
        values = (
            sample.trace,
            sample.item,
            sample.index,
            sample.row.label,
            label.time if label else sample.row.moment,
            label.offset if label else row.offset,
            label.appended if label else row.appended,
            sample.row.role,
            row.offset,
            sample.record,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return pa.table(columns, schema=SAMPLES)


def journal_rows(records: Sequence[Logged]) -> pa.Table:
    """Journal records as rows of the journal's table."""
    documents = [logged.document for logged in records]
    seen = [logged.prediction for logged in records]
    columns: dict[str, list[object]] = {
        "trace": [one.trace for one in seen],
        "attempt": [one.attempt for one in seen],
        "time": [one.time for one in seen],
        "appended": [one.appended for one in seen],
        "offset": [one.offset for one in seen],
        "record": [one.record.decode() for one in seen],
    }
    for name in ("lineage", "experiment", "arm", "unit", "boot"):
        columns[name] = [None if (value := one.get(name)) is None else str(value) for one in documents]
    for name in ("answered", "version", "number"):
        columns[name] = [value if isinstance(value := one.get(name), int) else None for one in documents]
    for name in ("whole", "degraded", "shadow", "override"):
        columns[name] = [bool(one.get(name)) for one in documents]
    return pa.table(columns, schema=JOURNAL)


def unpacked(data: bytes) -> pa.Table:
    """Rows of an entry."""
    return pa.ipc.open_stream(data).read_all()
