"""Rules in the worker: deployed by the log and by files, the same matches in every split and after every restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.events import RULES, RULES_TOPIC, Event, to_table
from saima.streams.matching import Matcher, RuleSet, from_frame
from saima.streams.matching.deployed import BOOK, STATE
from saima.streams.matching.matches import Match
from saima.streams.matching.orders import Order
from saima.streams.ordering import ORDER
from saima.worker.matching import HELD
from saima.worker.worker import Worker

from .conftest import TWICE, B

Home = Any  # the fixture's class, in conftest.py
MINUTE = 60_000

UNPAID = {
    "id": "unpaid", "version": 1, "key": "shop", "on": ["viewed", "paid"], "within_ms": 15 * MINUTE,
    "pattern": [
        {"name": "view", "where": ["==", "type", "viewed"]},
        {"name": "pay", "after": "not_followed_by", "where": ["==", "type", "paid"]},
    ],
    "emit": {"fields": {"seconds": ["last", "view.seconds"]}},
}  # fmt: skip


def traffic(home: Home) -> None:
    home.traffic(0, 6)
    home.order(TWICE, UNPAID)
    home.traffic(6, 30)
    home.order({**TWICE, "version": 2, "within_ms": 30 * MINUTE}, in_flight="migrate")
    home.traffic(30, 45)
    home.order(disable=("twice",))
    home.traffic(45, 60)


def run(home: Home, rows: int, restarts: bool = False) -> dict[str, Any]:
    home.run(rows, restarts)
    return found(home)


def found(home: Home) -> dict[str, Any]:
    from saima.stores import open_online

    online = open_online(0, home.settings)
    with online.read() as read:
        state = {table: read.scan(table) for table in (STATE, HELD, BOOK)}
    online.close()
    rows = home.tables.scan("matches").collect().sort("offset", "time", "rule", "key", "ids") if matched(home) else None
    clock = json.loads(dict(state[HELD])["clock"])  # chunks are cut as the batches were
    return {
        "rows": rows,
        "state": state[STATE],
        "book": state[BOOK],
        "clock": clock["watermark"],
        "late": clock["late"],
    }


def matched(home: Home) -> bool:
    return bool(home.tables.exists("matches"))


def test_matches_do_not_depend_on_batches_and_restarts(home: Home, another: Home, tmp_path: Path) -> None:
    third = type(home)(tmp_path / "third", home.algorithms)
    homes = [home, another, third]
    for one in homes[1:]:
        one.history()
    for one in homes:
        traffic(one)
    whole, cut, restarted = run(home, 100_000), run(another, 7), run(third, 40, restarts=True)
    third.close()
    assert whole["rows"].height > 50
    assert set(whole["rows"]["rule"]) == {"twice", "unpaid"}
    assert set(whole["rows"].filter(rule="twice")["version"]) == {1, 2}
    for other in (cut, restarted):
        assert other["rows"].equals(whole["rows"])
        assert {**other, "rows": None} == {**whole, "rows": None}
    late = whole["rows"].filter(pl.col("ids").list.contains("late15"))
    assert not late.height, "a late event matches nothing"


def test_matches_are_those_of_the_engine_over_the_events_in_order(home: Home) -> None:
    home.order(TWICE, UNPAID)
    home.traffic(0, 40)
    rows = run(home, 50)["rows"]
    events = pl.concat(
        [home.tables.scan(f"events/{topic}").filter(pl.col("offset") > 0).collect() for topic in ("viewed", "paid")],
        how="diagonal",
    )
    watermark = min(int(newest) for newest in events.group_by("type").max()["time"]) - 10 * MINUTE
    on_time = events.filter(~pl.col("late") & (pl.col("time") < watermark)).sort(*ORDER)
    matcher = Matcher(RuleSet.read([TWICE, UNPAID]))
    wanted = from_frame(matcher.process_batch(on_time)) + matcher.advance(watermark)
    assert sorted(map(repr, map(identity, wanted))) == sorted(
        repr((row["rule"], row["key"], row["kind"], row["time"], tuple(row["ids"]), json.loads(row["fields"] or "{}")))
        for row in rows.iter_rows(named=True)
    )
    assert any(match.rule == "unpaid" and match.fields["seconds"] is not None for match in wanted)


def identity(match: Match) -> tuple[Any, ...]:
    return match.rule, match.key, match.kind, match.time, match.ids, match.fields


def test_an_order_that_is_wrong_is_refused_and_the_rules_stay(home: Home) -> None:
    home.order(TWICE)
    home.order({**TWICE, "within_ms": 5})
    told = home.run()["rules"]
    assert [rule["id"] for rule in told["deployed"]] == ["twice"]
    assert "version 1 is deployed and says something else" in told["refused"]
    assert "offset 2" in told["refused"]


def test_without_rules_nothing_is_written(home: Home) -> None:
    home.traffic(0, 5)
    home.run()
    from saima.stores import open_online

    online = open_online(0, home.settings)
    with online.read() as read:
        assert [read.scan(table) for table in (STATE, HELD, BOOK)] == [[], [], []]
    online.close()
    assert not matched(home)


def test_a_refused_order_leaves_the_rules_to_whom_they_belong(home: Home) -> None:
    home.order(TWICE)
    event = Order([{**TWICE, "within_ms": 5}], origin="shop/rules/views.json").event(home.appended)
    home.log.append(RULES, to_table(RULES_TOPIC, [event], home.appended))
    told = home.run()["rules"]
    assert "is refused" in told["refused"]
    assert [rule["origin"] for rule in told["deployed"]] == ["by hand"]


@pytest.mark.parametrize(
    "text", ["[", "[1]", '{"deploy": ["x"]}', '{"deploy": [1]}', '{"in_flight": "x"}', "[" * 20_000]
)
def test_what_is_no_order_is_refused(home: Home, text: str) -> None:
    home.order(TWICE)
    event = Event("x", RULES, home.appended, 0, "odd", {"order": text})
    home.log.append(RULES, to_table(RULES_TOPIC, [event], home.appended))
    told = home.run()["rules"]
    assert "the order at offset 2 is refused" in told["refused"]
    assert [rule["id"] for rule in told["deployed"]] == ["twice"]


def test_an_order_without_text_is_a_dead_letter(home: Home) -> None:
    home.order(TWICE)
    event = Event("x", RULES, home.appended, 0, "odd", {"order": None})
    home.log.append(RULES, to_table(RULES_TOPIC, [event], home.appended))
    status = home.run()
    assert status["dead_letters"] == {"missing": 1}
    assert [rule["id"] for rule in status["rules"]["deployed"]] == ["twice"]


def test_conditions_over_values_of_other_types_do_not_hold(home: Home) -> None:
    odd = {
        "id": "odd",
        "pattern": [
            {"name": "a", "where": [">", "item", 5]},
            {"name": "b", "after": "followed_by", "where": ["==", "seconds", "x"]},
            {"name": "c", "after": "followed_by", "where": ["contains", "seconds", "1"]},
        ],
    }
    other = {"id": "other", "pattern": [{"name": "a", "where": ["contains", "seconds", "1"]}]}
    last = {
        "id": "last",
        "pattern": [
            {"name": "a", "where": ["==", "type", "viewed"], "times": 2},
            {"name": "b", "where": [">", "seconds", ["last", "a.item"]], "after": "followed_by"},
        ],
        "within_ms": 600_000,
    }
    home.order(odd, other, last)
    home.traffic(0, 8)
    home.run()
    assert not matched(home), home.tables.scan("matches").collect().rows(named=True)


def test_files_of_rules_are_watched(home: Home) -> None:
    folder = home.algorithms / "shop" / "rules"
    folder.mkdir()
    path = folder / "views.json"
    path.write_text(json.dumps([TWICE, UNPAID]))
    worker = Worker(home.settings)
    deployed = lambda: {rule["id"]: rule["version"] for rule in worker.status()["rules"]["deployed"]}  # noqa: E731

    def settle() -> int:
        orders = worker.watch()
        home.follow(worker)
        return orders

    assert settle() == 1
    assert deployed() == {"twice": 1, "unpaid": 1}
    assert settle() == 0
    path.write_text(json.dumps([{**TWICE, "version": 2, "within_ms": 99}, UNPAID]))
    assert settle() == 1
    assert deployed() == {"twice": 2, "unpaid": 1}
    path.write_text('[{"id": "twice", "pattern": []}]')
    assert settle() == 0
    assert "at least 1" in worker.status()["wrong_rules"]["shop/rules/views.json"]
    assert deployed() == {"twice": 2, "unpaid": 1}, "the rules of a wrong file stay"
    home.order(disable=("unpaid",))
    settle()
    path.write_text(json.dumps({"rules": [{**TWICE, "version": 3, "within_ms": 98}, UNPAID], "in_flight": "drop"}))
    settle()
    assert deployed() == {"twice": 3}, "what a person disabled stays out"
    assert worker.status()["wrong_rules"] == {}
    path.unlink()
    settle()
    assert deployed() == {}
    worker.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ('{"rules": [], "inflight": "drop"}', "'inflight' is unknown"),
        ('{"rules": [], "in_flight": "keep"}', "in_flight is 'keep'"),
        (json.dumps({**TWICE, "key": "shopp"}), "shopp"),
    ],
)
def test_a_wrong_file_is_named(home: Home, text: str, message: str) -> None:
    folder = home.algorithms / "shop" / "rules"
    folder.mkdir()
    (folder / "views.json").write_text(text)
    worker = Worker(home.settings)
    assert worker.watch() == 0
    assert message in worker.status()["wrong_rules"]["shop/rules/views.json"]
    worker.close()


def test_a_source_that_gets_a_field_keeps_the_events_that_wait(home: Home) -> None:
    home.order(TWICE)
    home.traffic(0, 3)
    before = run(home, 100)
    declared = home.algorithms / "shop" / "algorithm.yaml"
    declared.write_text(declared.read_text().replace("seconds: int64}", "seconds: int64, device: string}"))
    home.traffic(3, 6)
    after = run(home, 100)
    assert after["clock"] > before["clock"]
    assert after["rows"].filter(pl.col("ids").list.contains("v2.5")).height, "v2.5 waited in the sorter"


def test_the_year_2200_makes_no_other_event_late(home: Home) -> None:
    home.order(TWICE)
    home.append("viewed", Event("s0", "viewed", 7_258_118_400_000, 0, "far", {"shop": "s0", "item": "i", "seconds": 1}))
    home.append("viewed", home.view("v0", B + MINUTE, "s0", 1), home.view("v1", B + 2 * MINUTE, "s0", 2))
    home.append("viewed", home.view("v2", B + 60 * MINUTE, "s0", 2))
    rows = run(home, 100)["rows"]
    assert rows["ids"].to_list() == [["v0", "v1"]]


@pytest.mark.parametrize("how", ["drain", "drop", "migrate"])
def test_a_swap_in_the_worker_loses_and_doubles_no_event(home: Home, another: Home, how: str) -> None:
    """Partial matches of the changed rule drain, drop or migrate while the worker restarts after every few events; a
    naive loop over the log, event by event, gives the same matches."""
    second = {**TWICE, "version": 2, "within_ms": 60 * MINUTE}
    another.history()
    for one in (home, another):
        one.order(TWICE)
        for i in range(60):
            if i == 30:
                one.order(second, in_flight=how)
            late = 3 * MINUTE if i % 5 == 4 else 0
            one.append("viewed", one.view(f"v{i}", B + i * 2 * MINUTE - late, f"s{i % 2}", i * 7 % 11))
    restarted, whole = run(home, 3, restarts=True), run(another, 100_000)
    assert {**restarted, "rows": None} == {**whole, "rows": None}
    assert restarted["rows"].equals(whole["rows"])
    assert restarted["rows"].rows() == list(restarted["rows"].unique(maintain_order=True).rows()), (
        "no match comes twice"
    )
    wanted = swapped(home, how)
    told = restarted["rows"].select("rule", "version", "key", "time", "ids").rows()
    assert sorted(map(repr, told)) == sorted(repr((m.rule, m.version, m.key, m.time, list(m.ids))) for m in wanted)
    assert {row[1] for row in told} == {1, 2}
    events = home.tables.scan("events/viewed").filter(pl.col("offset") > 0).collect()
    assert sorted(events["id"]) == sorted(f"v{i}" for i in range(60))


def swapped(home: Home, how: Any) -> list[Match]:
    """What the rules match where events wait for the watermark one by one and orders come between them."""
    matcher, found = Matcher(RuleSet.read([])), []
    held: list[Event] = []
    newest = -1
    for segment in home.log.read({0: 0}, 1_000_000):
        for row in segment.table.to_pylist():
            if segment.topic == RULES:
                matcher.deploy(RuleSet.read(json.loads(row["order"])["deploy"]), how)
                continue
            held.append(
                Event(
                    *(row[name] for name in ("key", "type", "time", "seq", "id")),
                    {name: row[name] for name in home.topics["viewed"].fields},
                )
            )
            newest = max(newest, row["time"])
            watermark = newest - 10 * MINUTE
            for event in sorted((event for event in held if event.time < watermark), key=lambda event: event.time):
                held.remove(event)
                found += matcher.process(event)
            found += matcher.advance(watermark)
    return found
