"""The cases of lookups.json: batches, packed versions row by row and at once, backfill, and as served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.features.asof import RowHistory
from saima.features.backfill import backfill
from saima.features.lookups import RowReader, RowSource, versions
from saima.features.types import parse_type
from saima.streams.tiles import RowEngine

from .conftest import known, read_cases
from .served import ask_online, load_case

PARTS = ("uses_known_at", "ttl_ms", "rows", "queries", "expect")
QUERIES = ("sync", "preload")
DAYS = 365 * 86_400_000
KINDS = {bool: "bool", int: "int64", float: "float64", str: "string"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "lookups.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def kind_of(case: dict[str, Any]) -> str:
    """Type of a table's value: what all its rows fit."""
    found = {KINDS[type(row["value"])] for row in case["rows"] if row["value"] is not None} or {"int64"}
    return found.pop() if len(found) == 1 else "float64"


def source_of(case: dict[str, Any]) -> RowSource:
    known_at = "known_at" if case["uses_known_at"] else None
    return RowSource("source", ("key",), "valid_from", known_at, tuple(fields_of(case).items()), DAYS)


def fields_of(case: dict[str, Any]) -> dict[str, str]:
    return {"key": "string", "valid_from": "timestamp", "known_at": "timestamp", "value": kind_of(case)}


def declaration_of(case: dict[str, Any]) -> dict[str, Any]:
    known(case, *PARTS)
    table = {
        "source": "source",
        "key": "key",
        "valid_from": "valid_from",
        **({"known_at": "known_at"} if case["uses_known_at"] else {}),
        **({"ttl": f"{case['ttl_ms']}ms"} if case["ttl_ms"] else {}),
    }
    return {
        "algorithm": "case",
        "sources": {"source": {"key": "key", "fields": fields_of(case), "lateness": f"{DAYS}ms"}},
        "request": {"fields": {"key": "string"}},
        "tables": {query: {**table, "query": query} for query in QUERIES},
        "features": {f"by_{query}": {"value": f"{query}.value", "dtype": kind_of(case)} for query in QUERIES},
    }


def frame_of(case: dict[str, Any]) -> pl.DataFrame:
    rows, dtype = case["rows"], parse_type(kind_of(case)).polars
    columns = {
        "time": [row.get("known_at") or row["valid_from"] for row in rows],
        "seq": [row.get("seq", 0) for row in rows],
        "offset": list(range(1, len(rows) + 1)),
        "valid_from": [row["valid_from"] for row in rows],
        "known_at": [row.get("known_at") for row in rows],
    }
    return pl.DataFrame(
        [
            *(pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()),
            pl.Series("key", [row["key"] for row in rows], dtype=pl.String),
            pl.Series("value", [row["value"] for row in rows], dtype=dtype, strict=False),
        ]
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
def test_lookups(case: dict[str, Any], path: str) -> None:
    known(case, *PARTS)
    got = by_batch(case) if path == "batch" else by_rows(case, 1 if path == "rows" else 100)
    assert got == case["expect"]


def test_backfill(case: dict[str, Any], tmp_path: Path) -> None:
    rows = pl.LazyFrame({"time": [q["t"] for q in case["queries"]], "key": [q["key"] for q in case["queries"]]})
    found = backfill(load_case(declaration_of(case), tmp_path), rows, {"source": frame_of(case).lazy()}).collect()
    for query in QUERIES:
        assert found[f"by_{query}"].to_list() == case["expect"], query


@pytest.mark.parametrize("history", [0, 1, 100])
def test_online(case: dict[str, Any], history: int, tmp_path: Path) -> None:
    """The first rows built as history, the others one by one; each query is a request."""
    frame, algorithm = frame_of(case), load_case(declaration_of(case), tmp_path)
    batches = [frame[:history], *(frame[at] for at in range(history, frame.height))]
    found = ask_online(algorithm, tmp_path, batches, [({"key": q["key"]}, q["t"]) for q in case["queries"]])
    for query in QUERIES:
        assert [one.features[f"by_{query}"].to_list()[0] for one in found] == case["expect"], query
        assert all(one.degraded == [] for one in found)
