"""One user and many candidates, 100 features into the model's float32 matrix: our extractor beside one Polars select.

    python bench/features/online.py [--candidates N ...] [--rounds N] [--out FILE]

40 features are of items, 20 of the user, 40 of both; half of them read windows. The items' rows are kept from earlier
requests, their state is unchanged; each request is another user's and asks for other candidates (`us`) or for the
same as the last (`same_candidates_us`), brought anew. The select is written by hand, without the language's rules,
and is given its frame of inputs ready made. One thread. JSON on stdout: microseconds of wall clock and of the
thread's CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import by_hand
import numpy as np
import polars as pl

from saima.features import Algorithm, load
from saima.features.extractor import Extractor
from saima.features.lookups import row_sources
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine

HOUR = 3_600_000
START = 1_700_000_000_000
END = START + 7 * 24 * HOUR
"""Events of seven days; requests come after them, within one hop."""

ITEMS, USERS, EVENTS = 2_000, 200, 200_000
ITEM_WINDOWS, USER_WINDOWS = ("1h", "6h", "24h", "3d"), ("1h", "6h", "24h", "3d", "7d")


def features() -> dict[str, dict[str, Any]]:
    """40 of items (20 windows), 20 of the user (10 windows), 40 of both (20 windows)."""
    made: dict[str, tuple[str, str]] = {}
    for w in ITEM_WINDOWS:
        for measure in ("count", "sum", "mean", "min", "max"):
            dtype = "float32" if measure == "mean" else "int64"
            made[f"item_{measure}_{w}"] = (f"item_views.{measure}_{w}", dtype)
    for column in ("price", "cost", "stars", "weight", "stock"):
        made[f"item_{column}"] = (f"item_static.{column}", "float32")
        made[f"item_{column}_log"] = (f"log1p(item_static.{column})", "float32")
        made[f"item_{column}_bin"] = (f"bucketize(item_static.{column}, buckets.steps)", "int64")
    for column in ("brand", "category", "colour", "season"):
        made[f"item_{column}_id"] = (f"hash_bucket(item_static.{column}, 1000)", "int64")
    made["item_margin"] = ("(item_static.price - item_static.cost) / item_static.price", "float32")
    for w in USER_WINDOWS:
        made[f"user_count_{w}"] = (f"user_views.count_{w}", "int64")
        made[f"user_mean_{w}"] = (f"user_views.mean_{w}", "float32")
    for column in ("age", "budget", "spent", "visits"):
        made[f"user_{column}"] = (f"profile.{column}", "float32")
        made[f"user_{column}_bin"] = (f"bucketize(profile.{column}, buckets.steps)", "int64")
    made["user_ratio"] = ("profile.spent / profile.budget", "float32")
    made["user_rate"] = ("smooth(profile.spent, profile.visits, 1.0, 10.0)", "float32")
    for w in ITEM_WINDOWS:
        made[f"share_{w}"] = (f"smooth(user_views.count_{w}, item_views.count_{w}, 1.0, 20.0)", "float32")
        made[f"pace_{w}"] = (f"item_views.mean_{w} / user_views.mean_{w}", "float32")
        made[f"gap_{w}"] = (f"item_views.mean_{w} - user_views.mean_{w}", "float32")
        made[f"busy_{w}"] = (f"1 if item_views.count_{w} > user_views.count_{w} else 0", "int64")
        made[f"reach_{w}"] = (f"clip(item_views.sum_{w} / user_views.count_{w}, 0.0, 5000.0)", "float32")
    for item, user in (("price", "budget"), ("cost", "spent"), ("weight", "age"), ("stock", "visits")):
        made[f"{item}_of_{user}"] = (f"item_static.{item} / profile.{user}", "float32")
        made[f"{item}_from_{user}"] = (f"abs(item_static.{item} - profile.{user})", "float32")
        made[f"{item}_beyond_{user}"] = (f"1 if item_static.{item} > profile.{user} else 0", "int64")
        made[f"{item}_with_{user}"] = (f"sqrt(item_static.{item} * profile.{user})", "float32")
        made[f"{item}_least_{user}"] = (f"coalesce(item_static.{item}, profile.{user}) + 1.0", "float32")
    return {name: {"value": value, "dtype": dtype, "default": 0} for name, (value, dtype) in made.items()}


def declaration() -> dict[str, Any]:
    """The workload's algorithm."""
    numbers = dict.fromkeys(("price", "cost", "stars", "weight", "stock"), "float64")
    texts = dict.fromkeys(("brand", "category", "colour", "season"), "string")
    people = dict.fromkeys(("age", "budget", "spent", "visits"), "float64")
    views: dict[str, Any] = {"from": "viewed", "value": "seconds"}
    made = features()
    return {
        "algorithm": "bench_online",
        "sources": {
            "viewed": {"key": "user", "fields": {"user": "string", "item_id": "string", "seconds": "int64"}},
            "listed": {"key": "item_id", "fields": {"item_id": "string", **numbers, **texts}},
            "joined": {"key": "user", "fields": {"user": "string", **people}},
        },
        "request": {"user": {"user": "string"}, "items": {"max": 1000, "fields": {"item_id": "string"}}},
        "tables": {
            "item_static": {"source": "listed", "key": "item_id", "side": "item"},
            "profile": {"source": "joined", "key": "user", "side": "user"},
        },
        "aggregates": {
            "item_views": {
                **views, "key": "item_id", "side": "item", "measures": ["count", "sum", "mean", "min", "max"],
                "windows": list(ITEM_WINDOWS),
            },
            "user_views": {
                **views, "key": "user", "side": "user", "measures": ["count", "mean"], "windows": list(USER_WINDOWS)
            },
        },
        "resources": {"buckets": {"steps": [1, 2, 5, 10, 20, 50, 100, 200, 500]}},
        "features": made,
        "models": {"trees": {"kind": "xgboost", "inputs": list(made), "output": "score"}},
    }  # fmt: skip


def events() -> dict[str, pl.DataFrame]:
    """What the store is built from, by topic."""
    rng = np.random.default_rng(0)
    items, users = (np.array([f"{kind}{n}" for n in range(size)]) for kind, size in (("i", ITEMS), ("u", USERS)))

    def rows(count: int, columns: dict[str, Any]) -> pl.DataFrame:
        plain = {"seq": np.arange(count), "offset": np.arange(count), "late": np.zeros(count, bool)}
        return pl.DataFrame({"time": np.sort(rng.integers(START, END, count)), **plain, **columns})

    def amounts(names: tuple[str, ...], count: int) -> dict[str, Any]:
        return {name: np.round(rng.lognormal(3, 1, count), 2) for name in names}

    texts = {name: rng.choice(items[:100], ITEMS) for name in ("brand", "category", "colour", "season")}
    return {
        "viewed": rows(
            EVENTS,
            {
                "user": rng.choice(users, EVENTS),
                "item_id": rng.choice(items, EVENTS),
                "seconds": rng.integers(1, 600, EVENTS),
            },
        ),
        "listed": rows(
            ITEMS, {"item_id": items, **amounts(("price", "cost", "stars", "weight", "stock"), ITEMS), **texts}
        ),
        "joined": rows(USERS, {"user": users, **amounts(("age", "budget", "spent", "visits"), USERS)}),
    }


def build(folder: Path) -> tuple[Algorithm, OnlineStore]:
    """The algorithm, and a store that holds its state."""
    place = folder / "bench_online"
    place.mkdir()
    (place / "algorithm.yaml").write_text(json.dumps(declaration()))
    algorithm = load(place)
    return algorithm, fill(algorithm, Settings(home=folder, fsync=False))


def fill(algorithm: Algorithm, settings: Settings) -> OnlineStore:
    """The home's online store, holding the algorithm's state."""
    online = open_online(0, settings, writer=True)
    tiles = TileEngine(
        groups(algorithm.declaration), lambda _, keys: [None] * len(keys), predicates(algorithm.declaration)
    )
    made = events()
    changes = [*tiles.build_from_history(made)]
    changes += RowEngine(row_sources(algorithm.declaration), lambda _, keys: [None] * len(keys)).build_from_history(
        made
    )
    with online.write() as transaction:
        for table in {table for table, _, _ in changes}:
            transaction.put_many(table, [(key, data) for name, key, data in changes if name == table])
        transaction.set_position({0: EVENTS})
    return online


def timed(run: Any, rounds: int) -> dict[str, float]:
    """Microseconds of calls of `run(round)`, after as many that are not counted."""
    for number in range(rounds):
        run(number)
    gc.collect()
    gc.freeze()
    wall, own = [], []
    for number in range(rounds):
        started, busy = time.perf_counter_ns(), time.thread_time_ns()
        run(number)
        own.append((time.thread_time_ns() - busy) / 1000)
        wall.append((time.perf_counter_ns() - started) / 1000)
    p50, p99 = np.percentile(wall, (50, 99))
    return {
        "p50": round(float(p50), 1),
        "p99": round(float(p99), 1),
        "least": round(min(wall), 1),
        "cpu_p50": round(float(np.median(own)), 1),
    }


def measure(algorithm: Algorithm, online: OnlineStore, count: int, rounds: int) -> dict[str, Any]:
    """Both ways for so many candidates."""
    rng = random.Random(count)  # noqa: S311 - chooses candidates
    extractor = Extractor(algorithm, online)
    names = tuple(algorithm.plan.features)
    asked = [
        ({"user": f"u{rng.randrange(USERS)}"}, [{"item_id": f"i{n}"} for n in rng.sample(range(ITEMS), count)])
        for _ in range(rounds)
    ]
    everything = [{"item_id": f"i{n}"} for n in range(ITEMS)]
    started = time.perf_counter()
    extractor.extract({}, asked[0][0], everything, END + 1_000).matrix(names)
    cold = time.perf_counter() - started

    def ours(number: int) -> Any:
        user, items = asked[number]
        found = extractor.extract({}, user, items, END + 1_000 + number)
        return found.matrix(names)

    copies = [[dict(item) for item in asked[0][1]] for _ in range(8)]

    def again(number: int) -> Any:
        found = extractor.extract({}, asked[number][0], copies[number % 8], END + 1_000 + number)
        return found.matrix(names)

    frame = extractor.inputs({}, asked[0][0], asked[0][1], END + 1_000)
    wanted = algorithm.plan.evaluate(frame)
    found = extractor.extract({}, asked[0][0], asked[0][1], END + 1_000)
    assert found.features.equals(wanted), "the ways differ"
    assert np.array_equal(found.matrix(names), wanted.cast(pl.Float32).to_numpy(), equal_nan=True), "the matrix differs"
    plain = by_hand.select(ITEM_WINDOWS, USER_WINDOWS)
    same = [name for name in names if not name.endswith("_id")]
    assert frame.select(plain).columns == list(names)
    close = np.isclose(
        frame.select(plain).select(same).to_numpy(), found.matrix(tuple(same)), rtol=1e-5, equal_nan=True
    )
    assert close.all(), "the select by hand computes something else"
    first = timed(ours, rounds)
    return {
        "candidates": count,
        "features": len(names),
        "us": first,
        "same_candidates_us": timed(again, rounds),
        "one_select_us": timed(lambda _: frame.select(plain).to_numpy(), max(rounds // 4, 20)),
        "evaluate_us": timed(lambda _: algorithm.plan.evaluate(frame), 20),
        "cold_ms_2000_items": round(cold * 1000, 1),
        "caches": extractor.caches.numbers() if extractor.caches else [],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="+", default=[50, 200, 500, 1000])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        algorithm, online = build(Path(folder))
        try:
            results = [measure(algorithm, online, count, given.rounds) for count in given.candidates]
        finally:
            online.close()
    text = json.dumps({"cases": results}, indent=2)
    if given.out:
        given.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
