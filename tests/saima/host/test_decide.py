"""Ranking and the small values of a decision."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saima.host.breaker import Breaker, Breakers
from saima.host.decide import fallback, rank
from saima.host.meter import Meter


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=30), st.integers(1, 40))
def test_the_best_are_returned_and_nothing_is_invented(scores: list[float], top: int) -> None:
    order = rank(np.array(scores), top)
    assert len(set(order)) == len(order) == min(top, len(scores))
    chosen = [scores[i] for i in order if scores[i] == scores[i]]
    assert chosen == sorted(chosen, reverse=True)
    assert rank(np.array(scores), None) == list(range(len(scores)))


def test_ties_keep_the_given_order_and_nan_is_last() -> None:
    assert rank(np.array([1.0, np.nan, 2.0, 2.0, 1.0]), 5) == [2, 3, 0, 4, 1]


def test_a_fallback_is_degraded() -> None:
    found = fallback(np.array([3.0, 3.0]), "constant")
    assert (found.score.tolist(), found.degraded, found.returned) == ([3.0, 3.0], ["fallback:constant"], [0, 1])


def test_a_breaker_opens_after_failures_in_a_row_and_one_request_probes_after_a_pause() -> None:
    breaker = Breaker(limit=3, pause=5.0)
    for now in (0.0, 1.0):
        breaker = breaker.fail(now)
        assert breaker.ask(now) == (True, breaker)
    breaker = breaker.fail(2.0)
    assert breaker.ask(6.9) == (False, breaker)
    allowed, probing = breaker.ask(7.0)
    assert allowed
    assert probing.ask(7.0) == probing.ask(11.9) == (False, probing), "one probes, once"
    assert probing.ask(12.0)[0], "a probe that never ended is not waited for"
    assert probing.fail(8.0).ask(12.9)[0] is False, "the probe failed: open anew"


def test_of_many_threads_one_probes() -> None:
    now = [0.0]
    breakers = Breakers(lambda: now[0])
    for _ in range(5):
        assert breakers.ask("a")
        breakers.fail("a")
    assert (breakers.ask("a"), breakers.ask("b"), breakers.open()) == (False, True, ["a"])
    now[0] = 5.0
    barrier = threading.Barrier(16)

    def ask(_: int) -> bool:
        barrier.wait(20)
        return breakers.ask("a")

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 1
    breakers.succeed("a")
    assert (breakers.ask("a"), breakers.open()) == (True, [])


def test_the_meter_counts_versions_and_quantiles() -> None:
    meter = Meter()
    for number in range(1, 101):
        meter.answered("a", "x", 1 + number % 2, {"total": number / 1000})
    found = meter.snapshot()
    assert found["counts"] == {"answers": 100}
    assert [row["answers"] for row in found["traffic"]] == [50, 50]
    assert (found["latency"]["p50"], found["latency"]["p99"]) == (51.0, 100.0)
    assert sum(found["histograms"][0]["buckets"]) == 100
