"""The merged watermark: the least of those awake, never back, the same after a restart."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from saima.streams.lateness import BEGINNING
from saima.streams.watermarks import Watermarks

LOOKS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 30)), max_size=20)


@given(LOOKS)
def test_it_is_the_least_of_those_awake_and_never_goes_back(looks: list[tuple[str, int, int]]) -> None:
    idle = {"a": None, "b": 50, "c": 20}
    marks, now, before = Watermarks(idle), 0, BEGINNING
    last: dict[str, tuple[int, int]] = {}
    for source, mark, later in looks:
        now += later
        first = min((heard for _, heard in last.values()), default=now)
        last[source] = (max(mark, last.get(source, (BEGINNING, 0))[0]), now)
        found = marks.see(source, mark, now)
        awake = [
            last.get(name, (BEGINNING, 0))[0]
            for name, bound in idle.items()
            if bound is None or name == source or now - last.get(name, (0, first))[1] <= bound
        ]
        if set(last) == set(idle):
            assert found == max(before, min(awake))
        assert found >= before
        again = Watermarks(idle)
        again.restore(json.loads(json.dumps(marks.state())))
        assert again.at(now) == marks.at(now)
        before, marks = found, again


def test_a_silent_source_holds_nobody_back() -> None:
    marks = Watermarks({"click": None, "view": 1_000})
    assert marks.see("click", 500, now=0) == BEGINNING
    assert marks.at(1_000) == BEGINNING
    assert marks.at(1_001) == 500
    assert marks.see("view", 100, now=1_002) == 500
    assert marks.see("click", 900, now=1_003) == 500
    assert marks.see("view", 700, now=1_004) == 700


def test_without_a_bound_a_silent_source_holds_all() -> None:
    marks = Watermarks({"click": None, "view": None})
    marks.see("click", 500, now=0)
    assert marks.at(10**12) == BEGINNING
