"""Laws of the version policy over any rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from saima.host.slot import Version, next_action

STATES = st.sampled_from(["new", "loading", "ready", "draining", "gone", "error"])
ROWS = st.lists(
    st.builds(Version, st.integers(1, 12), STATES, st.booleans()), unique_by=lambda v: v.version, max_size=8
)


@given(ROWS, st.randoms())
def test_order_never_matters_in_availability(rows: list[Version], random: object) -> None:
    assert next_action(rows) == next_action(sorted(rows, key=lambda v: -v.version)) == next_action(rows)


@given(ROWS)
def test_availability_never_goes_dark_while_something_is_wanted(rows: list[Version]) -> None:
    action = next_action(rows, "availability")
    ready = [v.version for v in rows if v.state == "ready"]
    if action.action == "unload" and any(v.wanted for v in rows):
        assert len(ready) > 1


@given(ROWS)
def test_resource_loads_only_into_free_memory(rows: list[Version]) -> None:
    if next_action(rows, "resource").action == "load":
        assert not any(v.state in ("ready", "loading", "draining") and not v.wanted for v in rows)


@given(ROWS)
def test_it_loads_only_what_is_wanted_and_unloads_only_what_is_not(rows: list[Version]) -> None:
    by = {v.version: v for v in rows}
    for mode in ("availability", "resource"):
        action = next_action(rows, mode)
        if action.version is not None:
            found = by[action.version]
            assert (found.state, found.wanted) == (("new", True) if action.action == "load" else ("ready", False))
