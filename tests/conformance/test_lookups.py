"""The cases of lookups.json through the batch path and the packed versions, row by row and at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.features.asof import RowHistory
from saima.features.lookups import RowReader, RowSource, versions
from saima.streams.tiles import RowEngine

CASES = json.loads((Path(__file__).parent / "cases" / "lookups.json").read_text())["cases"]
DAYS = 365 * 86_400_000


def source_of(case: dict[str, Any]) -> RowSource:
    known = "known_at" if case["uses_known_at"] else None
    kind = "string" if any(isinstance(row["value"], str) for row in case["rows"]) else "float64"
    fields = (("key", "string"), ("valid_from", "timestamp"), ("known_at", "timestamp"), ("value", kind))
    return RowSource("source", ("key",), "valid_from", known, fields, DAYS)


def frame_of(case: dict[str, Any]) -> pl.DataFrame:
    text = any(isinstance(row["value"], str) for row in case["rows"])
    return pl.DataFrame(
        {
            "key": [row["key"] for row in case["rows"]],
            "valid_from": [row["valid_from"] for row in case["rows"]],
            "known_at": pl.Series([row.get("known_at") for row in case["rows"]], dtype=pl.Int64),
            "time": [row.get("known_at") or row["valid_from"] for row in case["rows"]],
            "seq": [row.get("seq", 0) for row in case["rows"]],
            "value": pl.Series(
                [row["value"] for row in case["rows"]], dtype=pl.String if text else pl.Float64, strict=False
            ),
        }
    )


def by_batch(case: dict[str, Any]) -> list[Any]:
    source = source_of(case)
    history = RowHistory(versions(frame_of(case), source), source)
    keys = pl.Series([q["key"] for q in case["queries"]])
    at = history.read(keys, np.array([q["t"] for q in case["queries"]], np.int64), case["ttl_ms"])
    return history.columns(at, ["value"])[0].to_list()


def by_rows(case: dict[str, Any], size: int) -> list[Any]:
    source, frame = source_of(case), frame_of(case)
    store: dict[str, bytes] = {}
    for at in range(0, frame.height, size):
        engine = RowEngine([source], lambda _, keys: [store.get(key) for key in keys])
        engine.process_batch(frame[at : at + size], "source")
        store.update({key: data or b"" for _, key, data in engine.changes()})
    built = {key: data for _, key, data in RowEngine([source]).build_from_history({"source": frame})}
    assert built == store
    reader = RowReader(source, case["ttl_ms"])
    found = []
    for query in case["queries"]:
        data = store.get(query["key"])
        row = reader.read(None if data is None else reader.open(data), query["t"])
        found.append(None if row is None else row.values[source.columns.index("value")])
    return found


@pytest.mark.parametrize("path", ["batch", "rows", "whole"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any], path: str) -> None:
    got = by_batch(case) if path == "batch" else by_rows(case, 1 if path == "rows" else 100)
    assert got == case["expect"]
