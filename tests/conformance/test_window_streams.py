"""The cases of windows.json by the aggregation engine: event by event, in batches, every two-way split, restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import polars as pl
import pytest

from saima.events import Event
from saima.features.declaration import Declaration
from saima.streams.aggregation.definition import definitions
from saima.streams.aggregation.engine import Aggregation

from .conftest import read_cases
from .test_windows import declaration_of, frame_of, judge

Feed = Callable[[Aggregation, pl.DataFrame], Aggregation]
BACKENDS: tuple[Literal["rows", "columns"], ...] = ("rows", "columns")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = read_cases(metafunc.config, "windows.json")
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def standard(case: dict[str, Any]) -> pl.DataFrame:
    """The case's events as standard ones."""
    frame = frame_of(case).drop("offset")
    return frame.with_columns(type=pl.lit("source"), id=pl.int_range(pl.len()).cast(pl.String))


def events(frame: pl.DataFrame) -> list[Event]:
    fields = [name for name in ("key", "value") if name in frame.columns]
    return [
        Event(row["key"], row["type"], row["time"], row["seq"], row["id"], {name: row[name] for name in fields})
        for row in frame.iter_rows(named=True)
    ]


def singly(engine: Aggregation, frame: pl.DataFrame) -> Aggregation:
    for event in events(frame):
        engine.process(event)
    return engine


def restored(engine: Aggregation, frame: pl.DataFrame) -> Aggregation:
    for event in events(frame):
        engine.process(event)
        engine = Aggregation.restore(engine.snapshot())
    return engine


def batched(engine: Aggregation, frame: pl.DataFrame) -> Aggregation:
    engine.process_batch(frame)
    return engine


def run(case: dict[str, Any], backend: Literal["rows", "columns"], feeds: list[tuple[Feed, pl.DataFrame]]) -> list[Any]:
    declaration = Declaration.model_validate(declaration_of(case))
    engine = Aggregation(definitions("case", declaration), declaration.sources, backend)
    for feed, frame in feeds:
        engine = feed(engine, frame)
    column = f"{case['measure']}_{case['window_ms']}ms"
    keys, times = [q["key"] for q in case["queries"]], [q["t"] for q in case["queries"]]
    found = [engine.read("case.agg", key, q)[column] for key, q in zip(keys, times, strict=True)]
    assert engine.read_batch("case.agg", keys, times)[column] == found
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("feed", [singly, batched, restored])
def test_a_whole_stream(case: dict[str, Any], backend: Literal["rows", "columns"], feed: Feed) -> None:
    judge(case, lambda: run(case, backend, [(feed, standard(case))]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_split(case: dict[str, Any], backend: Literal["rows", "columns"], sample: bool) -> None:
    """Every split in each of three ways; in a sample every split in one of them, by turns."""
    frame = standard(case)
    ways = ((batched, batched), (singly, batched), (batched, restored))
    for at in range(frame.height + 1):
        for first, second in (ways[at % 3],) if sample else ways:
            judge(case, lambda: run(case, backend, [(first, frame[:at]), (second, frame[at:])]))  # noqa: B023
