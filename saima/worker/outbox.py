"""Output rows that wait, in the state's own transaction, to be drained to a sink: Arrow, each with its cause.

Every row has the column `offset`, the offset of the log that caused it. An entry holds all rows that one commit has
for a sink; its key is the greatest offset that the commit covers, so entries never share a cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def journal_rows(records: Iterable[Logged]) -> pa.Table:
    """Journal records as rows of the journal's table."""
    columns: dict[str, list[object]] = {name: [] for name in JOURNAL.names}
    for logged in records:
        document, seen = logged.document, logged.prediction
        for name in ("answered", "version", "lineage", "experiment", "arm", "unit", "boot", "number"):
            columns[name].append(_fitting(document.get(name), JOURNAL.field(name).type))
        for name in ("whole", "degraded", "shadow", "override"):
            columns[name].append(bool(document.get(name)))
        columns["trace"].append(seen.trace)
        columns["attempt"].append(seen.attempt)
        columns["time"].append(seen.time)
        columns["appended"].append(seen.appended)
        columns["offset"].append(seen.offset)
        columns["record"].append(seen.record.decode())
    return pa.table(columns, schema=JOURNAL)


def unpacked(data: bytes) -> pa.Table:
    """Rows of an entry."""
    return pa.ipc.open_stream(data).read_all()


def _fitting(value: object, dtype: pa.DataType) -> object:
    """A document's value where it has the column's type, else null: the record itself keeps it as it was."""
    if value is None:
        return None
    if pa.types.is_string(dtype):
        return str(value)
    return value if isinstance(value, int) else None
