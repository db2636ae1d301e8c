"""Rules over 34,724 events of a real process (road traffic fines), against programs that know nothing of automata."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.streams.matching import Match, Matcher, RuleSet, from_frame

DATASETS = Path(os.environ.get("SAIMA_DATASETS", Path(__file__).parents[5] / "shared" / "data"))
DAY = 86_400_000
Case = list[tuple[int, str, str, float | None]]
"""Events of a case: time, activity, id, payment."""


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    file = DATASETS / "fines" / "traffic_fines.parquet"
    if not file.is_file():
        pytest.skip("the fines are not there: set SAIMA_DATASETS")
    frame = pl.read_parquet(file).sort("timestamp", "order")
    return frame.select(
        key="case_id",
        type="activity",
        time=pl.col("timestamp").dt.epoch("ms"),
        seq=pl.col("order").cast(pl.Int64),
        id=pl.col("activity_instance_id").cast(pl.String),
        payment="paymentamount",
    )


@pytest.fixture(scope="module")
def cases(events: pl.DataFrame) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for key, name, time, _, identity, payment in events.iter_rows():
        found.setdefault(key, []).append((time, name, identity, payment))
    return found


def matches(events: pl.DataFrame, pattern: list[dict[str, Any]], size: int = 5000, **rule: Any) -> list[Match]:
    """Matches in batches: time goes on with them, a restore in the middle, and at the end time is over."""
    matcher = Matcher(RuleSet.read([{"id": "r", "pattern": pattern, **rule}]))
    found: list[Match] = []
    for start in range(0, events.height, size):
        batch = events[start : start + size]
        found += from_frame(matcher.process_batch(batch))
        found += matcher.advance(int(batch["time"][-1]))
        if start == 4 * size:
            matcher = Matcher.restore(matcher.snapshot())
    return found + matcher.advance(1 << 60)


def step(name: str, activity: str, after: str = "", **more: Any) -> dict[str, Any]:
    found = {"name": name, "where": ["==", "type", activity], **more}
    return found | ({"after": after} if after else {})


def pairs(case: Case, first: str, second: str) -> Iterator[tuple[str, ...]]:
    """Every first event with the next second one after it."""
    for i, (_, name, identity, _) in enumerate(case):
        if name == first:
            later = next((two for two in case[i + 1 :] if two[1] == second), None)
            if later is not None:
                yield identity, later[2]


def test_a_fine_that_is_paid(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    found = matches(events, [step("fine", "Create Fine"), step("paid", "Payment", "followed_by")])
    expected = sorted(one for case in cases.values() for one in pairs(case, "Create Fine", "Payment"))
    assert sorted(match.ids for match in found) == expected
    assert len(expected) == 10_000 - 5_374


def test_a_fine_without_payment_in_a_year(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    pattern = [step("fine", "Create Fine"), step("paid", "Payment", "not_followed_by")]
    found = matches(events, pattern, within_ms=365 * DAY)
    expected = {
        (case[0][2], case[0][0] + 365 * DAY)
        for case in cases.values()
        if not any(name == "Payment" and time - case[0][0] < 365 * DAY for time, name, _, _ in case)
    }
    assert {(match.ids[0], match.time) for match in found} == expected
    assert len(found) == len(expected) > 5000
    assert [match.time for match in found] == sorted(match.time for match in found)


def test_a_penalty_right_after_the_notification(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    pattern = [step("told", "Insert Fine Notification"), step("penalty", "Add penalty", "next")]
    expected = sorted(
        (one[2], two[2])
        for case in cases.values()
        for one, two in itertools.pairwise(case)
        if one[1] == "Insert Fine Notification" and two[1] == "Add penalty"
    )
    assert sorted(match.ids for match in matches(events, pattern)) == expected
    assert len(expected) > 4000


def test_payments_that_come_in_parts(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    """Two payments or more, within two years; what was paid together."""
    pattern = [step("paid", "Payment", times=[2, None])]
    emit = {"fields": {"total": ["sum", "paid.payment"], "parts": ["count", "paid"]}}
    found = matches(events, pattern, within_ms=730 * DAY, emit=emit)
    expected = []
    for case in cases.values():
        paid = [one for one in case if one[1] == "Payment"]
        for i in range(len(paid)):
            for j in range(i + 1, len(paid)):
                if paid[j][0] - paid[i][0] < 730 * DAY:
                    expected.append((tuple(one[2] for one in paid[i : j + 1]), total(paid[i : j + 1])))
    assert sorted((match.ids, match.fields["total"]) for match in found) == sorted(expected)
    assert all(match.fields["parts"] == len(match.ids) for match in found)
    assert len(expected) > 100


def total(paid: Case) -> float:
    result = 0.0
    for one in paid:
        result += one[3] or 0.0
    return result


def test_collection_without_any_payment(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    pattern = [
        step("fine", "Create Fine"),
        step("paid", "Payment", "not_followed_by"),
        step("collected", "Send for Credit Collection", "followed_by"),
    ]
    expected = 0
    for case in cases.values():
        names = [name for _, name, _, _ in case]
        if "Send for Credit Collection" in names:
            expected += "Payment" not in names[: names.index("Send for Credit Collection")]
    assert len(matches(events, pattern)) == expected > 3000


def test_a_payment_late_after_the_penalty(events: pl.DataFrame, cases: dict[str, Case]) -> None:
    """At least 90 days after the penalty, which the gap's lower bound says; earlier payments are passed over."""
    pattern = [step("penalty", "Add penalty"), step("paid", "Payment", "followed_by", gap_ms=[90 * DAY, None])]
    expected = []
    for case in cases.values():
        for i, one in enumerate(case):
            if one[1] == "Add penalty":
                late = [two for two in case[i + 1 :] if two[1] == "Payment" and two[0] - one[0] >= 90 * DAY]
                expected += [(one[2], two[2]) for two in late[:1]]
    assert sorted(match.ids for match in matches(events, pattern)) == sorted(expected)
    assert expected


def test_the_ways_agree(events: pl.DataFrame) -> None:
    """All rules together: one batch, small batches, pruned and not."""
    pattern = [step("told", "Send Fine"), step("paid", "Payment", "followed_by_any", optional=True)]
    last = step("end", "Send for Credit Collection", "followed_by")
    for skip in ("none", "next", "past_last"):
        rule = {"within_ms": 1000 * DAY, "skip": {"to": skip}}
        whole = matches(events, [*pattern, last], size=40_000, **rule)
        parts = matches(events, [*pattern, last], size=1999, **rule)
        assert sorted(map(repr, parts)) == sorted(map(repr, whole))
        assert whole
