"""Limits, keys, types, time and expressions."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from saima.errors import StoreError
from saima.events import Event
from saima.streams.matching import Match, Matcher, RuleSet, by_step, from_frame
from saima.streams.matching.explain import explain


def matcher_of(*rules: dict[str, Any]) -> Matcher:
    return Matcher(RuleSet.read([{"id": f"r{i}", **rule} for i, rule in enumerate(rules)]))


def step(name: str, after: str = "", **more: Any) -> dict[str, Any]:
    found = {"name": name, "where": ["==", "type", name], **more}
    return found | ({"after": after} if after else {})


def feed(matcher: Matcher, names: str, time: int = 0, **payload: Any) -> list[Match]:
    found: list[Match] = []
    for name in names:
        time += 1
        found += matcher.process(Event("k", name, time, time, f"{name}{time}", payload))
    return found


def test_the_oldest_partial_match_gives_way() -> None:
    matcher = matcher_of({"pattern": [step("a"), step("b", "followed_by")], "limits": {"runs": 3}})
    assert [match.ids[0] for match in feed(matcher, "aaaaab")] == ["a3", "a4", "a5"]
    assert matcher.counters["r0", "dropped"] == 2


def test_the_newest_partial_match_is_refused() -> None:
    limits = {"runs": 3, "exceeded": "drop_newest"}
    for skip in ("none", "next"):
        rule = {"pattern": [step("a"), step("b", "followed_by")], "limits": limits, "skip": {"to": skip}}
        matcher = matcher_of(rule)
        assert [match.ids[0] for match in feed(matcher, "aaaaab")] == ["a1", "a2", "a3"]
        assert matcher.counters["r0", "dropped"] == 2


def test_limits_are_of_a_rule_and_a_key() -> None:
    matcher = matcher_of(
        {"pattern": [step("a"), step("b", "followed_by")], "limits": {"runs": 2}},
        {"pattern": [step("a"), step("b", "followed_by")]},
    )
    found = feed(matcher, "a" * 200 + "b")
    assert sum(match.rule == "r0" for match in found) == 2
    assert sum(match.rule == "r1" for match in found) == 200


def test_a_loop_ends_at_its_limit() -> None:
    matcher = matcher_of({"pattern": [step("a", times=[1, None]), step("b", "next")], "limits": {"loop": 4}})
    lengths = {len(match.ids) for match in feed(matcher, "a" * 9 + "b")}
    assert max(lengths) <= 6
    assert matcher.counters["r0", "long_loops"] > 0


def test_ten_thousand_repetitions_need_no_stack() -> None:
    """No recursion over the accepted events, in matching, packing or restoring."""
    rule = {"pattern": [step("a"), step("b", "next", times=[1, None], inner="strict"), step("c", "next")]}
    matcher = matcher_of({**rule, "limits": {"loop": 20_000}})
    feed(matcher, "a" + "b" * 10_000)
    matcher = Matcher.restore(matcher.snapshot())
    (match,) = feed(matcher, "c", 10_001)
    assert len(match.ids) == 10_002


def test_keys_of_fields() -> None:
    rule = {"key": ["user", "shop"], "pattern": [step("a"), step("b", "followed_by")]}
    matcher = matcher_of(rule, {"pattern": [step("a"), step("b", "followed_by")]})
    rows = [("a", 1, "x"), ("a", 2, "x"), ("b", 2, "x"), ("b", None, "x"), ("b", 1, "y")]
    events = [
        Event("k", name, i, i, f"e{i}", {"user": user, "shop": shop}) for i, (name, user, shop) in enumerate(rows)
    ]
    found = [match for event in events for match in matcher.process(event)]
    assert [(match.key, match.ids) for match in found if match.rule == "r0"] == [("2\x1fx", ("e1", "e2"))]
    assert matcher.counters["", "no_key"] == 1
    frame = pl.DataFrame(
        {
            "key": ["k"] * 5,
            "type": [row[0] for row in rows],
            "time": list(range(5)),
            "seq": list(range(5)),
            "id": [f"e{i}" for i in range(5)],
            "user": [row[1] for row in rows],
            "shop": [row[2] for row in rows],
        }
    )
    batched = matcher_of(rule, {"pattern": [step("a"), step("b", "followed_by")]})
    assert from_frame(batched.process_batch(frame)) == found
    assert batched.counters == matcher.counters


def test_types_that_a_rule_does_not_see_are_not_there() -> None:
    pattern = [step("a"), step("b", "next")]
    assert len(feed(matcher_of({"pattern": pattern}), "axb")) == 0
    assert len(feed(matcher_of({"pattern": pattern, "on": ["a", "b", "c"]}), "axb")) == 1
    assert len(feed(matcher_of({"pattern": pattern, "on": ["a", "b", "c"]}), "axcb")) == 0


def test_events_before_the_watermark_are_counted() -> None:
    matcher = matcher_of({"pattern": [step("a")]})
    matcher.advance(5)
    assert matcher.process(Event("k", "a", 4, 0, "late", {})) == []
    assert len(matcher.process(Event("k", "a", 5, 0, "e", {}))) == 1
    assert matcher.counters["", "late"] == 1


@pytest.mark.parametrize(("apart", "seq"), [(10, 0), (1 << 40, 0), (10, 1 << 62)])
def test_numbers_that_four_bytes_do_not_hold(apart: int, seq: int) -> None:
    matcher = matcher_of({"pattern": [step("a"), step("b", "followed_by"), step("c", "followed_by")]})
    for place, name in enumerate("aab"):
        matcher.process(Event("k", name, place * apart, seq + place, f"e{place}", {}))
    again = Matcher.restore(matcher.snapshot())
    assert again.snapshot() == matcher.snapshot()
    last = Event("k", "c", 3 * apart, seq, "e3", {})
    found = again.process(last)
    assert found == matcher.process(last)
    assert [match.ids for match in found] == [("e0", "e2", "e3"), ("e1", "e2", "e3")]


def test_damaged_state_names_its_key() -> None:
    matcher = matcher_of({"pattern": [step("a"), step("b", "followed_by")]})
    feed(matcher, "a")
    (name, data), meta = matcher.changes()
    assert data is not None
    assert meta[1] is not None
    with pytest.raises(StoreError, match="key 'k' are damaged"):
        Matcher.load([(name, data[:-8]), (meta[0], meta[1])])
    for broken in (data[:-3], data[:9], b""):
        with pytest.raises(StoreError, match="cannot be read"):
            Matcher.load([(name, broken), (meta[0], meta[1])])


def test_the_year_2200_and_a_key_of_a_megabyte() -> None:
    matcher = matcher_of({"pattern": [step("a"), step("b", "followed_by")], "within_ms": 10})
    key, time = "k" * 1_000_000, 7_258_118_400_000
    matcher.process(Event(key, "a", time, 0, "e0", {}))
    assert all(len(name) < 511 for name, _ in matcher.changes())
    matcher = Matcher.restore(matcher.snapshot())
    (match,) = matcher.process(Event(key, "b", time + 9, 1, "e1", {}))
    assert match.key == key


@pytest.mark.parametrize(
    ("where", "as_json"),
    [
        ("type == 'a' and price > 2", ["and", ["==", "type", "a"], [">", "price", 2]]),
        ("price >= 1 or is_null(price)", ["or", [">=", "price", 1], ["not", ["has", "price"]]]),
        (
            "type in ['a', 'b'] and not contains(name, 'x')",
            ["and", ["in", "type", ["a", "b"]], ["not", ["contains", "name", "x"]]],
        ),
        ("1 < price <= 3", ["and", [">", 3, 2], [">", "price", 1], ["<=", "price", 3]]),
    ],
)
def test_expressions_say_what_json_says(where: str, as_json: Any) -> None:
    if where.startswith("1 <"):
        as_json = ["and", [">", "price", 1], ["<=", "price", 3]]
    written = matcher_of({"pattern": [{"name": "one", "where": where}]})
    spelled = matcher_of({"pattern": [{"name": "one", "where": as_json}]})
    for name in "abc":
        for price in (None, 0, 1, 2, 3, 4.0):
            event = Event("k", name, 1, 1, "e", {"price": price, "name": "axb" if price == 2 else "ab"})
            assert bool(written.process(event)) == bool(spelled.process(event)), (name, price)


def test_equal_conditions_are_one() -> None:
    rules = RuleSet.read(
        [
            {"id": "r0", "pattern": [{"name": "one", "where": ["and", [">", "price", 2], ["has", "x"]]}]},
            {"id": "r1", "pattern": [{"name": "one", "where": ["and", ["has", "x"], [">", "price", 2]]}]},
            {"id": "r2", "pattern": [{"name": "one", "where": "price > 2 and not is_null(x)"}]},
        ]
    )
    assert len(rules.shared.uses) == 2  # `is_null` is 'not has' twice over
    assert max(rules.shared.uses.values()) == 2


def test_operators_of_the_feature_language() -> None:
    matcher = matcher_of(
        {"pattern": [{"name": "one", "where": "smooth(n, d, 1, 1) > 0.5 and len(split(tags, ',')) == 2"}]}
    )
    assert feed(matcher, "a", n=3, d=4, tags="x,y")
    assert not feed(matcher, "a", n=1, d=4, tags="x,y")
    assert not feed(matcher, "a", n="three", d=4, tags="x,y")
    assert not feed(matcher, "a", n=3, d=4)


def test_terms_over_what_was_accepted() -> None:
    where = "type == 'b' and price > last(a.price) and count(a) >= 2"
    matcher = matcher_of({"pattern": [step("a", times=2), {"name": "b", "after": "followed_by", "where": where}]})
    rows = [("a", 1), ("a", 5), ("b", 4), ("b", 6)]
    found = [
        m
        for i, (name, price) in enumerate(rows)
        for m in matcher.process(Event("k", name, i, i, f"e{i}", {"price": price}))
    ]
    assert [by_step(match) for match in found] == [{"a": ["e0", "e1"], "b": ["e3"]}]


def test_a_gap_bounds_the_time_between_steps() -> None:
    rule = {"pattern": [step("a"), step("b", "followed_by", gap_ms=10)], "emit": {"timeouts": True}}
    matcher = matcher_of(rule)
    matcher.process(Event("k", "a", 0, 0, "e0", {}))
    assert matcher.process(Event("k", "b", 10, 1, "e1", {})) == []
    (gone,) = matcher.advance(10)
    assert (gone.kind, gone.time, gone.ids) == ("timeout", 10, ("e0",))
    matcher.process(Event("k", "a", 20, 2, "e2", {}))
    assert len(matcher.process(Event("k", "b", 29, 3, "e3", {}))) == 1


def test_enter_from_a_stay_and_go_back_is_one_rule() -> None:
    def page(name: str, after: str = "", **more: Any) -> dict[str, Any]:
        found = {"name": f"{name} {after}", "where": ["and", ["==", "type", "enter"], ["==", "page", name]], **more}
        return found | ({"after": after} if after else {})

    rule = {"on": ["enter"], "pattern": [page("A"), page("B", "next"), page("A", "next", gap_ms=[10_000, None])]}
    matcher = matcher_of(rule)
    visits = [("A", 0), ("B", 3000), ("A", 14_000), ("B", 15_000), ("A", 16_000)]
    found = [
        m
        for i, (name, time) in enumerate(visits)
        for m in matcher.process(Event("k", "enter", time, i, f"e{i}", {"page": name}))
    ]
    assert [match.ids for match in found] == [("e0", "e1", "e2")]


def test_staying_is_told_when_its_time_has_come() -> None:
    rule = {"pattern": [step("a"), step("b", "next"), step("leave", "not_followed_by", gap_ms=10)]}
    matcher = matcher_of(rule)
    feed(matcher, "ab")
    assert matcher.advance(11) == []
    (match,) = matcher.advance(12)
    assert (match.kind, match.time, match.ids) == ("match", 12, ("a1", "b2"))


def test_state_without_its_rules_is_refused() -> None:
    matcher = matcher_of({"pattern": [step("a"), step("b", "next")]})
    feed(matcher, "a")
    items = [(name, data) for name, data in matcher.changes() if data is not None and name != "@"]
    with pytest.raises(StoreError, match="its '@' item is missing"):
        Matcher.load(items)


def test_memory_of_idle_keys_is_given_back() -> None:
    """Keys whose time is over leave nothing behind, whatever state their partial matches were in."""
    strict = {"pattern": [step("a"), step("b", "next"), step("c", "followed_by")], "within_ms": 50}
    silent = {"pattern": [step("a"), step("c", "not_followed_by")], "within_ms": 50}
    pruned = {
        "pattern": [step("a", times=[1, None]), step("c", "followed_by")],
        "within_ms": 50,
        "skip": {"to": "next"},
    }
    matcher = matcher_of(strict, silent, pruned)
    for i in range(2000):
        matcher.process(Event(f"k{i}", "a", i // 100, i, f"e{i}", {}))
    assert len(matcher.advance(200)) == 2000
    assert matcher.live == 0
    assert len(matcher.timers) == 0
    assert not any(partition.keys for partition in matcher.partitions.values())


def test_a_rule_explains_itself() -> None:
    rules = RuleSet.read(
        [
            {"id": "loose", "pattern": [step("a"), step("b", "followed_by")], "within_ms": 50},
            {"id": "tight", "pattern": [step("a", where=[">", "x", 1]), step("b", "next", where=[">", "x", 1])]},
        ]
    )
    assert explain(rules).splitlines() == [
        "loose version 1, by the event's key, within 50 ms, 2 states",
        "  begins a: waits for a (light)",
        "  then b: waits for b (light)",
        "tight version 1, by the event's key, without end, 2 states",
        "  partial matches of silent keys stay: only limits end them; give within_ms",
        "  begins a: touched by every event",
        "  then b: touched by every event",
        "evaluated once an event, however often they are asked:",
        "  >(get(x),1) (2 times)",
    ]
