"""The merge law of every component: partials of two runs merge to the partial of both, packed or not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.features.windows.definition import Group, window
from saima.features.windows.measure import WindowOverflow, components, fit

ALL = frozenset({"count", "sum", "mean", "min", "max", "variance", "first_k", "last_k", "top_k", "histogram"})
TEXT = frozenset({"count", "first_k", "last_k", "top_k", "histogram"})
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    "float64": st.floats(-1e6, 1e6),
    "string": st.text(max_size=3),
}


@pytest.mark.parametrize("dtype", VALUES)
@given(data=st.data())
def test_merge(dtype: str, data: st.DataObject) -> None:
    group = Group("s", ("k",), "v", dtype, None, (window("1h"),), TEXT if dtype == "string" else ALL, 3, 0)
    rows = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), VALUES[dtype]), min_size=2, max_size=12))
    cut = data.draw(st.integers(1, len(rows) - 1))
    for name, component in components(group).items():
        parts = [component.of(sorted(rows[:cut])), component.of(sorted(rows[cut:]))]
        whole = component.of(sorted(rows))
        for merged in (component.merge(parts), component.merge(parts[::-1])):
            if dtype == "float64" and name in ("sum", "squares"):
                assert merged == pytest.approx(whole, rel=1e-9, abs=1e-3)
            else:
                assert merged == whole, name
        columns = list(zip(*[component.pack(part) for part in parts], strict=True))
        assert component.unpack(columns) == parts, name


def test_a_partial_sum_may_exceed_int64_but_a_total_may_not() -> None:
    total = components(Group("s", ("k",), "v", "int64", None, (), frozenset({"sum"}), 1, 0))["sum"]
    big = total.merge([2**63 - 1, 2**63 - 1])
    assert total.unpack(list(zip(total.pack(big), strict=True))) == [big]
    assert fit(total.merge([big, -(2**63)])) == 2**63 - 2
    with pytest.raises(WindowOverflow, match="does not fit int64"):
        fit(big)
