"""The cases of windows.json through the naive program, the batch path, and tiles: event by event, in batches, split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import DeclarationError
from saima.features.declaration import Declaration
from saima.features.windows import Reader, WindowOverflow, WindowRead, default_hop, reads
from saima.features.windows.batch import Timeline
from saima.features.windows.naive import naive
from saima.features.windows.rows import counted
from saima.streams.tiles import TileEngine

CASES = json.loads((Path(__file__).parent / "cases" / "windows.json").read_text())["cases"]
DAY = 86_400_000
ERRORS = {"overflow": WindowOverflow}
TYPES = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String}


def plain(value: Any) -> Any:
    return float(value["$float"]) if isinstance(value, dict) and "$float" in value else value


def read_of(case: dict[str, Any]) -> WindowRead:
    options = case.get("options", {})
    hop = case["hop_ms"]
    aggregate = {
        "from": "source",
        "key": "key",
        "measures": [case["measure"]],
        "windows": [f"{case['window_ms']}ms"],
        "k": options.get("k", 10),
        "exact": options.get("exact", True),
        **({"value": "value"} if case["value_dtype"] else {}),
        **({} if hop is None else {"hop": f"{hop}ms"}),
    }
    fields = {"key": "string", **({"value": case["value_dtype"]} if case["value_dtype"] else {})}
    declaration = Declaration.model_validate(
        {
            "algorithm": "case",
            # the cases shuffle a span of hours unless they say how late an event may be
            "sources": {"source": {"key": "key", "fields": fields, "lateness": f"{options.get('lateness_ms', DAY)}ms"}},
            "request": {"fields": {"key": "string"}},
            "aggregates": {"agg": aggregate},
            "features": {"f": {"value": "agg.x", "dtype": "float64"}},
        }
    )
    (read,) = reads(declaration)
    return read


def frame_of(case: dict[str, Any]) -> pl.DataFrame:
    events = case["events"]
    columns = {
        name: pl.Series([e[field] for e in events]) for name, field in (("time", "t"), ("seq", "seq"), ("key", "key"))
    }
    if case["value_dtype"]:
        values = [plain(e["value"]) for e in events]
        columns["value"] = pl.Series(values, dtype=TYPES[case["value_dtype"]])
    return pl.DataFrame(columns)


def by_naive(case: dict[str, Any], read: WindowRead) -> list[Any]:
    frame = counted(frame_of(case), read.group, None)
    (ask,) = read.asks
    return [
        naive(frame.filter(key=q["key"]).select("time", "seq", "value").rows(), ask.measure, ask.window, q["t"], ask.k)
        for q in case["queries"]
    ]


def by_batch(case: dict[str, Any], read: WindowRead) -> list[Any]:
    (ask,) = read.asks
    timeline = Timeline(counted(frame_of(case), read.group, None), read.group)
    keys, times = [q["key"] for q in case["queries"]], [q["t"] for q in case["queries"]]
    values = timeline.read(read.asks, pl.Series(keys), np.array(times, np.int64))[ask.column].to_list()
    return [{e["key"]: e["value"] for e in v} for v in values] if ask.measure == "histogram" else values


def ask_store(case: dict[str, Any], read: WindowRead, store: dict[tuple[str, str], bytes]) -> list[Any]:
    reader = Reader(read.group, read.asks)
    return [reader.read(store.get((read.group.table, q["key"])), q["t"])[0] for q in case["queries"]]


def by_tiles(case: dict[str, Any], read: WindowRead, sizes: list[int], seam: int | None = None) -> list[Any]:
    store: dict[tuple[str, str], bytes] = {}
    frame = frame_of(case)
    if seam is not None:
        engine = TileEngine([read.group])
        for table, key, data in engine.build_from_history({"source": frame.filter(pl.col("time") < seam)}):
            store[table, key] = data or b""
        frame = frame.filter(pl.col("time") >= seam)
    at = 0
    while at < frame.height:
        for size in sizes:
            engine = TileEngine([read.group], lambda table, keys: [store.get((table, key)) for key in keys])
            engine.process_batch(frame[at : at + size], "source")
            store.update({(table, key): data or b"" for table, key, data in engine.changes()})
            at += size
    return ask_store(case, read, store)


PATHS = {
    "naive": by_naive,
    "batch": by_batch,
    "single events": lambda case, read: by_tiles(case, read, [1]),
    "one batch": lambda case, read: by_tiles(case, read, [10_000]),
    "ragged batches": lambda case, read: by_tiles(case, read, [2, 7, 3]),
    "history, then stream": lambda case, read: by_tiles(
        case, read, [2], case.get("options", {}).get("batch_end_ms", max(e["t"] for e in case["events"]))
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any], path: str) -> None:
    read = read_of(case)
    if case["hop_ms"] is None:
        assert read.asks[0].window.hop == default_hop(case["window_ms"])
    if "error" in case:
        with pytest.raises(ERRORS[case["error"]["kind"]]):
            PATHS[path](case, read)
        return
    got = PATHS[path](case, read)
    if "tolerance" in case:
        assert [v is None for v in got] == [v is None for v in case["expect"]]
        for value, expected in zip(got, case["expect"], strict=True):
            assert value is None or abs(value - expected) <= case["tolerance"]
    else:
        assert got == case["expect"]


def test_a_float_sum_must_say_that_it_is_not_exact() -> None:
    case = next(c for c in CASES if c["id"] == "win-035")
    with pytest.raises(DeclarationError, match="exact: false"):
        read_of({**case, "options": {}})
