"""Malformed records: an event, a duplicate or a dead letter with its bytes; what is accepted goes all the way."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import polars as pl
import pytest

from saima.events import Event, Topic, arrow_type, to_table
from saima.features.declaration import Source
from saima.streams.adapters import REASONS, Adapter, implausible, letters
from saima.streams.lateness import Clock
from saima.streams.linking import LEVELS, Linker, parse
from saima.streams.ordering import Sorter

NOW = 1_700_000_000_000
YEAR_2200 = 7_258_118_400_000
SOURCE = Source.model_validate(
    {
        "key": "user",
        "fields": {"user": "string", "page": "string", "n": "int64", "price": "float64", "tags": "list<string>"},
        "lateness": "1m",
        "record": {
            "time": "ts",
            "id": "id",
            "seq": "seq",
            "fields": {"n": {"path": "kind", "values": {"a": 1, "b": 2}}},
        },
    }
)
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, -0.0, 2**63, -(2**63), 10**30, "", "x", "ü", "\x00", "\ud800", "NaN", [], {}, [[]],
    [None], ["a", None], {"a": {"b": []}}, YEAR_2200, NOW, "2200-01-01T00:00:00Z", "k" * 3000, "\x1f", "💥",
]  # fmt: skip
SPEC = {
    "gap": 60_000,
    "lenient": True,
    "entries": {"view": {"level": "page", "name": "page", "within": {"app": "tags"}}},
}


def record(rng: random.Random, place: int) -> dict[str, Any]:
    """A sound record; its clock jumps now and then."""
    jump = rng.choice([0] * 20 + [-3_600_000, 3_600_000, -86_400_000_000, 86_000_000])
    return {
        "ts": NOW + place * 10 + jump,
        "id": f"e{place}",
        "seq": place,
        "user": f"u{rng.randrange(50)}",
        "page": f"p{rng.randrange(9)}",
        "kind": rng.choice("ab"),
        "price": rng.choice([1, 2.5, None]),
        "tags": rng.choice([[], ["x"], None, "a\x1db"]),
    }


def malformed(rng: random.Random, place: int) -> bytes:
    """The bytes of a record after up to three faults of value, structure or encoding."""
    made: Any = record(rng, place)
    for _ in range(rng.randrange(3)):
        name = rng.choice(list(made) or ["ts"])
        fault = rng.randrange(5)
        if fault == 0:
            made.pop(name, None)
        elif fault == 1:
            made[rng.choice(["ts", "id", "seq", "user", "page"])] = rng.choice(VALUES)
        elif fault == 2:
            made[name] = rng.choice(VALUES)
        elif fault == 3:
            made[name] = {name: made.get(name)}
        else:
            made["id"] = f"e{rng.randrange(place + 1)}"
    if rng.randrange(1_000) == 0:
        made["user"] = "k" * 2**20
    data = json.dumps(made).encode()
    fault = rng.randrange(12)
    if fault == 0:
        data = data[: rng.randrange(len(data))]
    elif fault == 1 and len(data) < 10_000:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        data = bytes(changed)
    elif fault == 2:
        data = rng.choice(
            [b"", b"null", b"[]", b'"x"', b"1e999", b"[" * 2000, b'{"a":' * 2000, data * 2, b"\xef\xbb\xbf" + data]
        )
    return data


def run(count: int, seed: int) -> Adapter:
    """Fuzz through adapter, log schema, lateness, sorter and linker."""
    rng = random.Random(seed)
    adapter = Adapter({"view": SOURCE})
    topic = Topic("view", {name: arrow_type(dtype) for name, dtype in SOURCE.fields.items()})
    fields = {"page": pl.String(), "n": pl.Int64(), "price": pl.Float64(), "tags": pl.List(pl.String)}
    clock, sorter, linker = Clock(60_000), Sorter(fields), Linker(parse(SPEC, "fuzz"))
    accepted = late = linked = 0
    for start in range(0, count, 500):
        sent = [malformed(rng, place) for place in range(start, min(start + 500, count))]
        now = NOW + start * 10
        result = adapter.adapt(sent, now)
        assert len(result.events) + len(result.refused) + result.duplicates == len(sent)
        for refused in result.refused:
            assert refused.reason in REASONS
            assert refused.data == sent[refused.number - start - 1]
        letters("fuzz", result.refused, now)
        accepted += len(result.events)
        frame = pl.DataFrame(to_table(topic, result.events, now))
        assert not implausible(frame["time"].to_numpy(), frame["appended"].to_numpy()).any()
        verdicts, clock = clock.judge(frame["time"].to_numpy())
        late += int(verdicts.sum())
        sorter.process_batch(frame.filter(pl.Series(~verdicts)))
        linked += pages(linker.process_batch(sorter.release(clock.watermark))) + pages(linker.expire(clock.watermark))
    linked += pages(linker.process_batch(sorter.release(2**62))) + pages(linker.expire(2**62))
    counts = linker.counters
    assert sorter.late == 0
    assert counts["late"] == counts["disordered"] == counts["ignored"] == 0
    assert accepted == late + linked + counts["unnamed"] == adapter.counts["accepted"]
    assert sum(adapter.counts.values()) == adapter.number == count
    assert set(counts) >= {f"orphan_{level}" for level in LEVELS[:-1]}
    return adapter


def pages(nodes: pl.DataFrame) -> int:
    return nodes.filter((pl.col("level") == "page") & (pl.col("kind") != "synthesised")).height


def test_malformed_records_are_counted_named_and_kept() -> None:
    counts = run(5_000, 1).counts
    assert counts["accepted"] > 1_000
    assert len(set(counts) & set(REASONS)) >= 11


@pytest.mark.full
def test_a_hundred_thousand_malformed_records() -> None:
    counts = run(100_000, 2).counts
    assert len(set(counts) & set(REASONS)) >= 11


def test_an_event_from_the_year_2200_moves_no_watermark() -> None:
    """It is refused at the adapter; one that came to the log by another way is told apart by the row alone."""
    adapter = Adapter({"view": SOURCE})
    sound = record(random.Random(0), 1)
    result = adapter.adapt([{**sound, "ts": YEAR_2200}, {**sound, "ts": NOW}], NOW)
    assert [refused.reason for refused in result.refused] == ["future"]
    assert [event.time for event in result.events] == [NOW]
    times = np.array([NOW, YEAR_2200, -5])
    assert implausible(times, np.full(3, NOW)).tolist() == [False, True, True]


def test_a_key_of_a_megabyte_is_a_dead_letter_and_would_be_linked() -> None:
    """The linker has no bound of its own: what other ways let through does not hurt it."""
    adapter = Adapter({"view": SOURCE})
    sound = {**record(random.Random(0), 1), "ts": NOW}
    assert adapter.adapt([{**sound, "user": "k" * 2**20}], NOW).refused[0].reason == "long_key"
    linker = Linker(parse(SPEC, "test"))
    linker.process(Event("k" * 2**20, "view", 0, 0, "i", {"page": "p"}))
    again = Linker(parse(SPEC, "test"))
    again.load([(key[:100], data) for key, data in linker.changes() if data is not None and key != "clock"])
    assert again.advance(10**6) == linker.advance(10**6) != []
