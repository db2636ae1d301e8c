"""A small algorithm with history, a log to fill, and the worker as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.events import (
    DECLARATIONS,
    DECLARATIONS_TOPIC,
    JOURNAL,
    JOURNAL_TOPIC,
    RULES,
    RULES_TOPIC,
    Event,
    Topic,
    to_table,
)
from saima.features import load
from saima.host.meter import Meter
from saima.recordings import topics
from saima.routing.deployment import configure, read_document, refresh, write
from saima.routing.layout import Layout
from saima.settings import Settings
from saima.stores import open_log, open_online, open_registry, open_tables
from saima.stores.shards import owner
from saima.streams.declarations import Order
from saima.streams.matching.orders import Order as RulesOrder
from saima.worker.declarationfiles import declared
from saima.worker.worker import Worker

MINUTE, HOUR = 60_000, 3_600_000
B = 400_000 * HOUR
"""Where the small history ends and the stream begins."""

TWICE = {
    "id": "twice", "version": 1, "key": "shop", "on": ["viewed"], "within_ms": 20 * MINUTE,
    "pattern": [
        {"name": "first", "where": ["==", "type", "viewed"]},
        {"name": "again", "after": "followed_by", "where": [">", "seconds", ["last", "first.seconds"]]},
    ],
}  # fmt: skip
"""A rule: a view that is followed by a longer one of the same shop."""

ALGORITHM = """
algorithm: shop
sources:
  viewed: {key: shop, fields: {shop: string, item: string, seconds: int64}, lateness: 10m, idle: null}
  paid: {key: trace, fields: {trace: string, shop: string, amount: float64}, lateness: 10m, idle: null}
request:
  fields: {shop: string, item: string}
tables:
  last_view: {source: viewed, key: shop, ttl: 24h}
aggregates:
  views: {from: viewed, key: shop, value: seconds, measures: [count, mean, max], windows: [1h, 6h]}
features:
  views_1h: {value: "views.count_1h", dtype: int64, default: 0}
  mean_6h: {value: "views.mean_6h", dtype: float32}
  last_seconds: {value: "last_view.seconds", dtype: float32}
models:
  m: {kind: xgboost, inputs: [views_1h, mean_6h, last_seconds], output: amount}
fuse: {value: "m.amount"}
label: {from: paid, join: [trace], value: amount, scheme: once, attribution: 6h}
lineages:
  base: {train: [m], retrain: {samples: 5}}
"""


@dataclass
class Home:
    """A folder of state with the stores open for the test's own use."""

    path: Path
    algorithms: Path
    B = B
    appended: int = 2_000_000_000_000
    settings: Settings = field(init=False)
    topics: dict[str, Topic] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.path, algorithms=self.algorithms, fsync=False)
        self.topics = topics(load(self.algorithms / "shop").declaration)
        self.log = open_log(self.settings)
        self.tables = open_tables(self.settings)
        self.registry = open_registry(self.settings)

    def history(self) -> None:
        """Write a day of history, and the fact that says where it ends."""
        events = [
            Event(f"s{i % 3}", "viewed", B - HOUR * 8 + i * MINUTE, i, f"h{i}",
                  {"shop": f"s{i % 3}", "item": f"i{i}", "seconds": i % 50})
            for i in range(480)
        ]  # fmt: skip
        frame = pl.DataFrame(to_table(self.topics["viewed"], events, 0))
        day = pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d")
        self.tables.append("events/viewed", frame.with_columns(offset=pl.lit(0, pl.Int64), late=pl.lit(False), day=day))
        self.registry.put_fact("history/viewed", {"end": B})

    def append(self, topic: str, *events: Event) -> None:
        """Append one segment; its wall clock only counts on, so that two homes get the same bytes."""
        self.appended += 1
        schema = JOURNAL_TOPIC if topic == JOURNAL else self.topics[topic]
        self.log.append(topic, to_table(schema, list(events), self.appended))

    def traffic(self, start: int, stop: int) -> None:
        """Six views, a prediction and most of its payments for every i, a minute apart; a repeated and a late view."""
        for i in range(start, stop):
            time = B + i * 10 * MINUTE
            self.append("viewed", *(self.view(f"v{i}.{k}", time + k * MINUTE, f"s{k % 3}", i + k) for k in range(6)))
            self.append(JOURNAL, self.prediction(f"t{i}", time + 6 * MINUTE, number=i, degraded=i % 10 == 9))
            if i >= 3 and i % 5:
                self.append("paid", self.payment(f"t{i - 3}", time + 7 * MINUTE, float(i)))
            if i % 4 == 3:
                self.append(
                    "viewed", self.view(f"v{i - 1}.0", time, "s0", 1), self.view(f"late{i}", time - HOUR, "s1", 2)
                )

    def order(self, *rules: dict[str, Any], disable: tuple[str, ...] = (), in_flight: Any = "drain") -> None:
        """Append an order of rules."""
        self.appended += 1
        event = RulesOrder(rules, disable, in_flight).event(self.appended)
        self.log.append(RULES, to_table(RULES_TOPIC, [event], self.appended))

    def declare(self) -> None:
        """Append the order that brings what is declared to what the folder says."""
        self.appended += 1
        event = Order(declared(self.algorithms)).event(self.appended)
        self.log.append(DECLARATIONS, to_table(DECLARATIONS_TOPIC, [event], self.appended))

    def crowd(self, start: int, stop: int) -> None:
        """Events number start to stop - 1 of a crowd of 97 shops, in segments of about a hundred: of ten events eight
        views, a prediction and the payment of an earlier one; some views are repeated, some are late."""
        for first in range(start, stop, 100):
            views, predictions, payments = [], [], []
            for n in range(first, min(first + 100, stop)):
                time, kind = B + n * 6_000, n % 10
                if kind < 8:
                    again = n % 37 == 0
                    moment = time - HOUR if n % 41 == 0 else time
                    views.append(self.view(f"c{n - 10 * again}", moment, f"s{n * 31 % 97}", n % 1013))
                elif kind == 8:
                    predictions.append(self.prediction(f"t{n}", time, number=n, degraded=n % 70 == 8))
                elif n > 3_000 and n % 50 != 9:
                    payments.append(self.payment(f"t{n - 1_001 - n % 3 * 100}", time, n / 7))
            for topic, events in (("viewed", views), (JOURNAL, predictions), ("paid", payments)):
                if events:
                    self.append(topic, *events)

    @staticmethod
    def follow(worker: Worker, drain: bool = True) -> None:
        """Let a worker of this home run to the log's head."""
        while worker.cycle():
            pass
        if drain:
            worker.drain()

    def run(self, rows: int = 4_000, restarts: bool = False) -> dict[str, Any]:
        """A worker's life to the log's head, with a restart after every cycle if asked for; its last status."""
        worker = Worker(self.settings, rows=rows)
        while restarts and worker.cycle():
            worker.close()
            worker = Worker(self.settings, rows=rows)
        self.follow(worker)
        status = worker.status()
        worker.close()
        return status

    def sharded(self, shards: int) -> Home:
        """The same home with its worker in so many shards."""
        self.settings = self.settings.model_copy(update={"shards": shards})
        return self

    def state(self) -> dict[str, Any]:
        """Everything that must be equal after the same events, whatever the number of shards: online entities, tables,
        facts.

        Events that wait for a rule's watermark lie in chunks as the cycles were cut, so only what they become is here.
        """
        shards = [self._shard(number) for number in range(self.settings.shards)]
        assert all(shard["position"] == shards[0]["position"] for shard in shards)
        assert all(shard["entities"]["seen"] == shards[0]["entities"]["seen"] for shard in shards)
        reasons = [shard["ledger"].pop("reasons") for shard in shards]
        assert not any(reasons[1:]), "the first one counts for all"
        assert all(shard["ledger"] == {**shards[0]["ledger"], "counts": shard["ledger"]["counts"]} for shard in shards)
        assert all(shard["declarations"] == shards[0]["declarations"] for shard in shards)
        entities = {"seen": shards[0]["entities"]["seen"]}
        for name in ("join/shop", *self.built()):
            entities[name] = sorted(entity for shard in shards for entity in shard["entities"][name])
        sums: Counter[str] = Counter()
        for shard in shards:
            sums.update(shard["join"].pop("counters"))
            sums.update(shard["ledger"]["counts"])
        assert all(shard["join"] == shards[0]["join"] for shard in shards)
        assert all(shard["matching_book"] == shards[0]["matching_book"] for shard in shards)
        entities["join_state"] = shards[0]["join"]
        entities["matching_book"] = shards[0]["matching_book"]
        entities["matching"] = matching([shard["matching"] for shard in shards])
        orders = {"shop/samples": ("offset", "trace"), "matches": ("offset", "rule", "ids")}
        rows = {
            name: self.tables.scan(name).filter(pl.col("offset") > 0).collect().sort("offset", "id")
            if name.startswith("events/")
            else self.tables.scan(name).collect().sort(*orders.get(name, ("offset", "trace")))
            for name in self.sinks()
            if name != "events/dead_letter" and self.tables.exists(name)
        }
        return {
            "entities": {**entities, "ledger": shards[0]["ledger"]["built"], "counts": sums},
            "told": (reasons[0], shards[0]["declarations"]),
            "clocks": (shards[0]["ledger"]["clocks"], shards[0]["join"]),
            "outbox": [key for shard in shards for key in shard["outbox"]],
            "position": shards[0]["position"],
            "rows": {name: frame.select(sorted(frame.columns)).rows() for name, frame in rows.items()},
            "fact": self.registry.fact("samples/shop"),
        }

    def _shard(self, number: int) -> dict[str, Any]:
        online = open_online(number, self.settings)
        with online.read() as read:
            names = ["seen", "join/shop", *self.built()]
            found = {
                "entities": {name: read.scan(name) for name in names},
                "outbox": [key for sink in self.sinks() for key, _ in read.scan(f"outbox/{sink}")],
                "position": read.position(),
                "ledger": json.loads(dict(read.scan("worker"))["ledger"]),
                "declarations": dict(read.scan("worker"))["declarations"],
                "join": json.loads(dict(read.scan("join_state")).get("shop", '{"counters": {}}')),
                "matching": dict(read.scan("matching")),
                "matching_book": read.scan("matching_book"),
            }
        online.close()
        for name in names[1:]:
            assert all(owner(key, self.settings.shards) == number for key, _ in found["entities"][name])
        assert found["ledger"].pop("shards") == self.settings.shards
        found["ledger"].pop("generation")
        return found

    def built(self) -> list[str]:
        """Online tables of windows and rows."""
        from saima.worker.catalog import catalog, declared

        return sorted(catalog(declared(self.algorithms)).tables)

    def sinks(self) -> list[str]:
        """Tables that the worker appends to."""
        return ["events/viewed", "events/paid", "events/dead_letter", "shop/journal", "shop/samples", "matches"]

    def variables(self) -> dict[str, str]:
        """Environment of a worker's process."""
        return {
            **os.environ,
            "SAIMA_HOME": str(self.path),
            "SAIMA_ALGORITHMS": str(self.algorithms),
            "SAIMA_FSYNC": "false",
            "SAIMA_SHARDS": str(self.settings.shards),
            "SAIMA_KILL_AT": "",
        }

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """A real worker process, in small cycles."""
        environment = {**self.variables(), **variables}
        command = [sys.executable, "-m", "saima.worker", "--rows", "12", "--drain-seconds", "0.05", *arguments]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def endanger(self) -> int:
        """Deploy a version whose host tells of errors beyond its rail, with a standby; the epoch."""
        for number in (1, 2):
            write(self.registry, refresh("shop", "base", number), "test", "refresh")
        rails = Layout.model_validate({"guardrails": {"errors": 0.02}})
        row = write(self.registry, configure("shop", layout=rails), "test", "rails")
        meter = Meter()
        for _ in range(60):
            meter.erred("shop", "base", 2)
        self.registry.set_status("host/1", meter.snapshot())
        return row.epoch

    def saved(self, epoch: int, timeout: float = 60) -> None:
        """Wait until the version has gone back, and see that it did in one epoch with one mark of each kind."""
        deadline = time.monotonic() + timeout
        while not (self.registry.marks("rollback") and self.registry.fact("warden/deed") == {}):
            assert time.monotonic() < deadline, "nobody rolls back"
            time.sleep(0.02)
        assert self.registry.deployment().epoch == epoch + 1
        found = read_document(self.registry.deployment().document).lineage("shop", "base")
        assert (found.routed, found.quarantined) == (1, [2])
        (mark,), (told,) = self.registry.marks("guardrail"), self.registry.marks("rollback")
        assert (mark["bad"], mark["of"], mark["rolled_back"], mark["to"]) == (60, 60, True, 1)
        assert (mark["epoch"], told["epoch"], told["reason"]) == (epoch + 1, epoch + 1, found.hold)

    @staticmethod
    def view(identity: str, time: int, shop: str, seconds: int) -> Event:
        return Event(shop, "viewed", time, 0, identity, {"shop": shop, "item": "i", "seconds": seconds})

    @staticmethod
    def payment(trace: str, time: int, amount: float | None) -> Event:
        return Event(trace, "paid", time, 0, f"p-{trace}-{time}", {"trace": trace, "shop": "s0", "amount": amount})

    @staticmethod
    def prediction(trace: str, time: int, number: int = 0, degraded: bool = False, **more: Any) -> Event:
        record = {
            "trace": trace,
            "attempt": 1,
            "algorithm": "shop",
            "version": 3,
            "lineage": "base",
            "experiment": None,
            "arm": None,
            "unit": trace,
            "time": time,
            "answered": time + 5,
            "items": [],
            "scores": [0.5],
            "outputs": {"m.amount": [0.5]},
            "kept": [0],
            "weights": [1.0],
            "whole": True,
            "degraded": ["views"] if degraded else [],
            "shadow": False,
            "override": False,
            "features": {"views_1h": [number], "mean_6h": [0.1], "last_seconds": [None]},
            **more,
        }
        text = json.dumps(record)
        return Event(trace, JOURNAL, time, number, f"b:{trace}", {"algorithm": "shop", "trace": trace, "record": text})

    def close(self) -> None:
        """Close the test's own stores."""
        self.log.close()
        self.registry.close()


def matching(shards: list[dict[str, bytes]]) -> list[Any]:
    """What the matchers of all shards hold together: each key once, and what they say of rules and time."""
    metas = [json.loads(found.pop("@", b'{"counters": []}')) for found in shards]
    counters: Counter[tuple[str, str]] = Counter()
    for meta in metas:
        counters.update({(rule, what): count for rule, what, count in meta.pop("counters")})
        meta.pop("draining", None)  # as far as there are keys for it
        assert meta == metas[0]
    keys = [item for found in shards for item in found.items()]
    assert len(dict(keys)) == len(keys)
    return [metas[0], sorted(counters.items()), *sorted(keys)]


@pytest.fixture
def algorithms(tmp_path: Path) -> Path:
    """A folder with the algorithm `shop`."""
    folder = tmp_path / "algorithms"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "algorithm.yaml").write_text(ALGORITHM)
    return folder


@pytest.fixture
def another(home: Home, tmp_path: Path) -> Iterator[Home]:
    """A second fresh state of the same algorithms, without history."""
    made = Home(tmp_path / "another", home.algorithms)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path, algorithms: Path) -> Iterator[Home]:
    """Fresh state with history."""
    made = Home(tmp_path / "home", algorithms)
    made.history()
    yield made
    made.close()
