"""A source's events as the rows of groups: key, time, seq, value, offset, without what a group does not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from saima.features.keys import key_expr
from saima.features.windows.component import Row
from saima.features.windows.definition import Group


def select(frame: pl.DataFrame, groups: Sequence[Group], predicates: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Events of one source as seen by several of its groups, in one pass.

    frame: the envelope's and the source's columns (int64 ms), `offset` if it has one. Returns `time`, `seq`, `offset`
    (int64) and per group `<table>/key` (string) and, with a value, `<table>/value` (int64, float64 or string). A null
    in either means that the group does not count the row. `predicates` are compiled conditions by table.
    """
    columns = [
        pl.col("time").cast(pl.Int64),
        pl.col("seq").cast(pl.Int64).fill_null(0),
        (pl.col("offset").cast(pl.Int64) if "offset" in frame.columns else pl.lit(0, pl.Int64)).alias("offset"),
    ]
    for group in groups:
        key = key_expr([pl.col(part) for part in group.key])
        if group.table in predicates:
            key = pl.when(predicates[group.table]).then(key)
        columns.append(key.alias(f"{group.table}/key"))
        if group.value is not None:
            columns.append(_value(group).alias(f"{group.table}/value"))
    return frame.select(columns)


def counted(frame: pl.DataFrame, group: Group, predicate: pl.Expr | None) -> pl.DataFrame:
    """Events that one group counts, for history: `key`, `time`, `value`, and `seq` and `offset` if they are there.

    A key of one whole number stays one (int64); other keys are text. Without a value, `value` is null.
    """
    whole = len(group.key) == 1 and frame.schema[group.key[0]].is_integer()
    key = pl.col(group.key[0]).cast(pl.Int64) if whole else key_expr([pl.col(part) for part in group.key])
    if predicate is not None:
        frame = frame.filter(predicate)
    columns = [key.alias("key"), pl.col("time").cast(pl.Int64)]
    columns += [pl.col("seq").cast(pl.Int64).fill_null(0)] if "seq" in frame.columns else []
    columns += [pl.col("offset").cast(pl.Int64)] if "offset" in frame.columns else []
    columns += [(pl.lit(None) if group.value is None else _value(group)).alias("value")]
    selected = frame.select(columns)
    named = [name for name in ("key", *(["value"] if group.value else [])) if selected.get_column(name).has_nulls()]
    return selected.drop_nulls(named) if named else selected


def by_key(selected: pl.DataFrame, group: Group) -> dict[str, list[Row]]:
    """Rows (time, seq, value) that a group counts of a selected frame, by key, in the frame's order."""
    keys = selected.get_column(f"{group.table}/key").to_list()
    times, seqs = selected.get_column("time").to_list(), selected.get_column("seq").to_list()
    found: dict[str, list[Row]] = {}
    if group.value is None:
        for key, time, seq in zip(keys, times, seqs, strict=True):
            if key is not None:
                found.setdefault(key, []).append((time, seq, None))
        return found
    values = selected.get_column(f"{group.table}/value").to_list()
    for key, time, seq, value in zip(keys, times, seqs, values, strict=True):
        if key is not None and value is not None:
            found.setdefault(key, []).append((time, seq, value))
    return found


def _value(group: Group) -> pl.Expr:
    column = pl.col(str(group.value))
    if group.is_text:
        return column.cast(pl.String)
    if group.is_float:
        number = column.cast(pl.Float64).fill_nan(None)
        return pl.when(number == 0).then(0.0).otherwise(number)  # -0.0 becomes 0.0: equal values have equal bytes
    return column.cast(pl.Int64)
