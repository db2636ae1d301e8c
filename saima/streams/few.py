"""The latency path: a handful of events as plain lists, where a frame would cost more than the work itself.

Equal to the throughput path (`windows.rows`, `lookups.versions`) value for value, which a property test holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from saima.features.keys import key_text
from saima.features.lookups import RowSource, Version, values_text
from saima.features.windows.component import Row
from saima.features.windows.definition import Group

FEW = 64
"""Tables of more rows take the throughput path."""

Columns = dict[str, list[Any]]
VersionsByKey = dict[str, tuple[int, list[Version]]]
"""Per key its newest event time and the versions of a batch."""


def columns(table: pa.Table, wanted: Iterable[Group | RowSource]) -> Columns | None:
    """Columns of a topic's table as lists; None if the throughput path must take it.

    That is for more than FEW rows, a condition on rows, and keys or values whose text or cast only Polars defines.
    """
    if table.num_rows > FEW:
        return None
    names = {"time", "seq", "offset"}
    for one in wanted:
        if isinstance(one, RowSource):
            names |= {*one.key, *one.columns, one.valid_from, *([one.known_at] if one.known_at else [])}
        else:
            if one.where or (one.value is not None and not _plain(one, table.schema.field(one.value).type)):
                return None
            names |= {*one.key, *([one.value] if one.value is not None else [])}
        if not all(_textual(table.schema.field(part).type) for part in one.key):
            return None
    return {name: table.column(name).to_pylist() for name in names}


def counted(found: Columns, group: Group) -> dict[str, list[Row]]:
    """Rows (time, seq, value) that a group counts, by key, in order."""
    keys = [key_text(parts) for parts in zip(*(found[part] for part in group.key), strict=True)]
    values = [None] * len(keys) if group.value is None else found[group.value]
    by_key: dict[str, list[Row]] = {}
    for key, time, seq, value in zip(keys, found["time"], found["seq"], values, strict=True):
        if key is None or (group.value is not None and (value is None or value != value)):
            continue
        if group.is_float:
            value = float(value) + 0.0  # -0.0 becomes 0.0: equal values have equal bytes
        by_key.setdefault(key, []).append((time, seq or 0, value))
    return by_key


def versions(found: Columns, source: RowSource) -> VersionsByKey:
    """Versions by key; rows with a missing key or valid_from, or that are not yet known, are left out."""
    keys = [key_text(parts) for parts in zip(*(found[part] for part in source.key), strict=True)]
    from_, known = found[source.valid_from], found[source.known_at or source.valid_from]
    by_key: VersionsByKey = {}
    for i, key in enumerate(keys):
        if key is None or from_[i] is None or known[i] is None:
            continue
        time, seq = found["time"][i], found["seq"][i] or 0
        text = values_text([seq if name == "seq" else found[name][i] for name in source.columns])
        latest, held = by_key.get(key) or (time, [])
        held.append((from_[i], known[i], seq, found["offset"][i], text))
        by_key[key] = (max(latest, time), held)
    return by_key


def _textual(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_integer(dtype) or pa.types.is_boolean(dtype))


def _plain(group: Group, dtype: pa.DataType) -> bool:
    if group.is_text:
        return bool(pa.types.is_string(dtype))
    if group.is_float:
        return bool(pa.types.is_floating(dtype) or pa.types.is_integer(dtype))
    return bool(pa.types.is_integer(dtype))
