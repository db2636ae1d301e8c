"""Windows read from the online store by another process than the one that wrote them; JSON with goals on stdout.

    python bench/streams/store.py [--users N] [--keys N] [--rounds N]

One process fills a store with the packed windows of `users` users and ends. This one reads them as a server does:
`get_many` of the packed bytes of some users, and ten features of each of them by the extractor, with the users asked
for as items; each request asks for other users. Microseconds by the clock and of the thread's CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl

from saima.features import Algorithm, load
from saima.features.extractor import Extractor
from saima.features.windows import groups
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.aggregation.columns import ColumnTiles

START, DAY = 1_700_000_000_000, 86_400_000
EVENTS = 10
"""Events a user, over a day; requests come after it."""

BATCH = 100_000
WINDOWS = ("1h", "24h")
MEASURES = ("count", "sum", "mean", "min", "max")


def declaration() -> dict[str, Any]:
    """Ten features of each user who is asked for."""
    names = [f"{measure}_{window}" for window in WINDOWS for measure in MEASURES]
    made = {
        name: {"value": f"bought.{name}", "dtype": "float32" if "mean" in name else "int64", "default": 0}
        for name in names
    }
    return {
        "algorithm": "bench_store",
        "sources": {"buy": {"key": "user", "fields": {"user": "string", "amount": "int64"}, "lateness": "10s"}},
        "request": {"items": {"max": 1000, "fields": {"user": "string"}}},
        "aggregates": {
            "bought": {
                "from": "buy", "key": "user", "side": "item", "value": "amount", "measures": list(MEASURES),
                "windows": list(WINDOWS),
            }
        },
        "features": made,
        "models": {"trees": {"kind": "xgboost", "inputs": names, "output": "score"}},
    }  # fmt: skip


def declared(home: Path) -> Algorithm:
    """The algorithm of a home, written there if it is not."""
    place = home / "bench_store"
    place.mkdir(exist_ok=True)
    (place / "algorithm.yaml").write_text(json.dumps(declaration()))
    return load(place)


def bought(users: int) -> pl.DataFrame:
    """Users, times in order and amounts."""
    rng = np.random.default_rng(0)
    count = EVENTS * users
    return pl.DataFrame(
        {
            "user": pl.Series(rng.integers(0, users, count)).cast(pl.String),
            "time": np.sort(rng.integers(START, START + DAY, count)),
            "amount": rng.integers(0, 1000, count),
        }
    )


def fill(home: Path, users: int) -> None:
    """Write the windows of all users."""
    (group,) = groups(declared(home).declaration)
    tiles, found = ColumnTiles(group), bought(users)
    for part in found.iter_slices(BATCH):
        seqs = np.zeros(part.height, np.int64)
        tiles.add_batch(part["user"], part["time"].to_numpy(), seqs, part["amount"])
    online = open_online(0, Settings(home=home, fsync=False), writer=True)
    with online.write() as transaction:
        transaction.put_many(group.table, tiles.pack(changed=False))
        transaction.set_position({0: found.height})
    online.close()


def timed(run: Callable[[int], Any], rounds: int) -> dict[str, float]:
    """Microseconds of calls of `run(round)`; the first are not counted."""
    clock, cpu = [], []
    for number in range(rounds):
        started, used = time.perf_counter_ns(), time.thread_time_ns()
        run(number)
        clock.append((time.perf_counter_ns() - started) / 1000)
        cpu.append((time.thread_time_ns() - used) / 1000)
    counted = slice(rounds // 10, None)
    p50, p99 = np.percentile(clock[counted], (50, 99))
    return {
        "p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1), "least_us": round(min(clock), 1),
        "cpu_p50_us": round(float(np.median(cpu[counted])), 1),
    }  # fmt: skip


def check(extractor: Extractor, users: int, keys: int) -> None:
    """Compare what is read with sums over the events themselves."""
    q = START + DAY + 1_000
    asked = [{"user": str(user)} for user in range(keys)]
    found = extractor.extract({}, None, asked, q).features
    since = (q - DAY) // 3_600_000 * 3_600_000
    wanted = bought(users).filter(pl.col("time") >= since).group_by("user").agg(pl.col("amount").sum(), pl.len())
    each = pl.DataFrame(asked).join(wanted, on="user", how="left", maintain_order="left").fill_null(0)
    assert found["sum_24h"].to_list() == each["amount"].to_list(), "the sums differ"
    assert found["count_24h"].to_list() == each["len"].to_list(), "the counts differ"


def measure(algorithm: Algorithm, online: OnlineStore, users: int, keys: int, rounds: int) -> dict[str, Any]:
    """Both reads of so many keys."""
    (group,) = groups(algorithm.declaration)
    rng = random.Random(0)  # noqa: S311 - chooses users
    asked = [[str(user) for user in rng.sample(range(users), keys)] for _ in range(rounds)]
    extractor = Extractor(algorithm, online)
    names = tuple(algorithm.plan.features)
    check(extractor, users, keys)

    def raw(number: int) -> None:
        with online.read() as transaction:
            found = transaction.get_many(group.table, asked[number])
        assert len(found) == keys

    def values(number: int) -> None:
        items = [{"user": user} for user in asked[number]]
        found = extractor.extract({}, None, items, START + DAY + 1_000 + number).matrix(names)
        assert found.shape == (keys, len(names))

    return {"get_many": timed(raw, rounds), "values": timed(values, rounds)}


def main() -> None:
    """Fill in another process, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--fill", type=Path, help="write the store of this home and end")
    given = parser.parse_args()
    if given.fill:
        fill(given.fill, given.users)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        subprocess.run([sys.executable, __file__, "--fill", folder, "--users", str(given.users)], check=True)
        online = open_online(0, Settings(home=home), writer=False)
        try:
            found = measure(declared(home), online, given.users, given.keys, given.rounds)
        finally:
            online.close()
    what = f"{given.keys} keys from the online store of another process"
    goals = [
        {"name": f"{what}: {name}, p50", "value": one["p50_us"] / 1000, "bound": 1, "least": False, "unit": " ms"}
        for name, one in (("bytes", found["get_many"]), ("10 features each", found["values"]))
    ]
    print(json.dumps({"users": given.users, "keys": given.keys, **found, "goals": goals}, indent=1))


if __name__ == "__main__":
    main()
