"""The cases of windows.json: the naive program, batches, tiles event by event and split, backfill, and as served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.errors import DeclarationError
from saima.features import Algorithm
from saima.features.backfill import backfill
from saima.features.declaration import Declaration
from saima.features.types import parse_type
from saima.features.windows import Reader, WindowOverflow, WindowRead, default_hop, reads
from saima.features.windows.batch import Timeline
from saima.features.windows.naive import naive
from saima.features.windows.rows import counted
from saima.streams.tiles import TileEngine

from .conftest import known, read_cases
from .served import ask_online, load_case

PARTS = (
    "measure",
    "window_ms",
    "hop_ms",
    "value_dtype",
    "events",
    "queries",
    "expect",
    "options",
    "tolerance",
    "error",
)
OPTIONS = {"k", "exact", "lateness_ms", "batch_end_ms"}
DAY = 86_400_000
ERRORS = {"overflow": WindowOverflow}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = read_cases(metafunc.config, "windows.json")
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def plain(value: Any) -> Any:
    return float(value["$float"]) if isinstance(value, dict) and "$float" in value else value


def declaration_of(case: dict[str, Any]) -> dict[str, Any]:
    known(case, *PARTS)
    options, hop, dtype = case.get("options", {}), case["hop_ms"], case["value_dtype"]
    assert set(options) <= OPTIONS, f"case {case['id']}: unknown option {sorted(set(options) - OPTIONS)}"
    aggregate = {
        "from": "source",
        "key": "key",
        "measures": [case["measure"]],
        "windows": [f"{case['window_ms']}ms"],
        "k": options.get("k", 10),
        "exact": options.get("exact", True),
        **({"value": "value"} if dtype else {}),
        **({} if hop is None else {"hop": f"{hop}ms"}),
    }
    fields = {"key": "string", **({"value": dtype} if dtype else {})}
    return {
        "algorithm": "case",
        # the cases shuffle a span of hours unless they say how late an event may be
        "sources": {"source": {"key": "key", "fields": fields, "lateness": f"{options.get('lateness_ms', DAY)}ms"}},
        "request": {"fields": {"key": "string"}},
        "aggregates": {"agg": aggregate},
        "features": {"result": {"value": f"agg.{case['measure']}_{case['window_ms']}ms", "dtype": result_type(case)}},
    }


def result_type(case: dict[str, Any]) -> str:
    dtype = case["value_dtype"]
    match case["measure"].partition("_")[0]:
        case "count" | "distinct" | "approx":
            return "int64"
        case "mean" | "variance" | "quantile":
            return "float64"
        case "histogram":
            return "map<string,int64>"
    return f"list<{dtype}>" if case["measure"].endswith("_k") else str(dtype)


def read_of(case: dict[str, Any]) -> WindowRead:
    (read,) = reads(Declaration.model_validate(declaration_of(case)))
    return read


def frame_of(case: dict[str, Any]) -> pl.DataFrame:
    events = case["events"]
    columns = {
        "time": pl.Series([e["t"] for e in events], dtype=pl.Int64),
        "seq": pl.Series([e["seq"] for e in events], dtype=pl.Int64),
        "offset": pl.Series(range(1, len(events) + 1), dtype=pl.Int64),
        "key": pl.Series([e["key"] for e in events], dtype=pl.String),
    }
    if case["value_dtype"]:
        values = [plain(e["value"]) for e in events]
        columns["value"] = pl.Series(values, dtype=parse_type(case["value_dtype"]).polars)
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
    return as_written(case, timeline.read(read.asks, pl.Series(keys), np.array(times, np.int64))[ask.column].to_list())


def as_written(case: dict[str, Any], values: list[Any]) -> list[Any]:
    """Values as the cases write them: a histogram is an object."""
    if case["measure"] != "histogram":
        return values
    return [value if isinstance(value, dict) else {e["key"]: e["value"] for e in value} for value in values]


def end_of_history(case: dict[str, Any]) -> int:
    return int(case.get("options", {}).get("batch_end_ms", max((e["t"] for e in case["events"]), default=0)))


def by_backfill(case: dict[str, Any], algorithm: Algorithm) -> list[Any]:
    """The whole declaration over a request log; features see a missing list as the empty one."""
    rows = pl.LazyFrame({"time": [q["t"] for q in case["queries"]], "key": [q["key"] for q in case["queries"]]})
    found = backfill(algorithm, rows, {"source": frame_of(case).lazy()}).collect()
    return as_written(case, found["result"].to_list())


def by_serving(case: dict[str, Any], algorithm: Algorithm, folder: Path) -> list[Any]:
    """The whole declaration as served: history up to the seam, the rest in ragged batches, each query a request."""
    frame, seam = frame_of(case), end_of_history(case)
    rest = frame.filter(pl.col("time") >= seam)
    batches = [frame.filter(pl.col("time") < seam), *(rest[at : at + 3] for at in range(0, rest.height, 3))]
    found = ask_online(algorithm, folder, batches, [({"key": q["key"]}, q["t"]) for q in case["queries"]])
    if any(one.degraded for one in found) and "error" in case:
        raise ERRORS[case["error"]["kind"]]("served as degraded")
    empty = case["value_dtype"] is not None and all(plain(e["value"]) is None for e in case["events"])
    warming = ["agg"] if empty else []  # a table into which nothing was ever written cannot be told from a new one
    assert all(one.degraded == warming for one in found)
    return as_written(case, [one.features["result"].to_list()[0] for one in found])


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
    "history, then stream": lambda case, read: by_tiles(case, read, [2], end_of_history(case)),
}


@pytest.mark.parametrize("path", PATHS)
def test_windows(case: dict[str, Any], path: str) -> None:
    read = read_of(case)
    if case["hop_ms"] is None:
        assert read.asks[0].window.hop == default_hop(case["window_ms"])
    judge(case, lambda: PATHS[path](case, read))


@pytest.mark.parametrize("path", ["backfill", "online"])
def test_whole_declarations(case: dict[str, Any], path: str, tmp_path: Path) -> None:
    def run() -> list[Any]:
        algorithm = load_case(declaration_of(case), tmp_path)
        return by_backfill(case, algorithm) if path == "backfill" else by_serving(case, algorithm, tmp_path)

    judge(case, run)


def judge(case: dict[str, Any], run: Callable[[], list[Any]]) -> None:
    if "error" in case:
        kind = case["error"]["kind"]
        assert kind in ERRORS, f"case {case['id']}: unknown kind of error '{kind}'"
        with pytest.raises(ERRORS[kind]):
            run()
        return
    got = run()
    if "tolerance" in case:
        assert [v is None for v in got] == [v is None for v in case["expect"]]
        for value, expected in zip(got, case["expect"], strict=True):
            assert value is None or abs(value - expected) <= case["tolerance"]
    else:
        assert got == case["expect"]


def test_a_float_sum_must_say_that_it_is_not_exact(pytestconfig: pytest.Config) -> None:
    case = next(case for case in read_cases(pytestconfig, "windows.json") if case["id"] == "win-035")
    with pytest.raises(DeclarationError, match="exact: false"):
        read_of({**case, "options": {}})
