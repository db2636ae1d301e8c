"""Verdicts do not depend on how a stream is split."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from saima.streams.lateness import BEGINNING, Clock

TIMES = st.lists(st.integers(0, 200), max_size=40)


def naive(times: list[int], lateness: int) -> list[bool]:
    return [bool(i) and time < max(times[:i]) - lateness for i, time in enumerate(times)]


@given(TIMES, st.integers(0, 50), st.integers(0, 40))
def test_any_split_equals_the_naive_program(times: list[int], lateness: int, cut: int) -> None:
    whole, end = Clock(lateness).judge(np.array(times, dtype=np.int64))
    first, middle = Clock(lateness).judge(np.array(times[:cut], dtype=np.int64))
    second, last = middle.judge(np.array(times[cut:], dtype=np.int64))
    single, clock = [], Clock(lateness)
    for time in times:
        late, clock = clock.see(time)
        single.append(late)
    assert whole.tolist() == [*first.tolist(), *second.tolist()] == single == naive(times, lateness)
    assert end == last == clock


def test_a_clock_that_has_seen_nothing_holds_nobody_to_be_late() -> None:
    assert Clock(0).watermark == BEGINNING
    assert Clock(0).see(-5) == (False, Clock(0, -5))
