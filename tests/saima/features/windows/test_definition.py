"""Groups: what shares state, what cannot, and which declarations are refused."""

from __future__ import annotations

from typing import Any

import pytest

from saima.errors import DeclarationError
from saima.features.declaration import Declaration
from saima.features.windows import groups, reads
from saima.features.windows.definition import DAY, HOUR, MINUTE, window
from saima.features.windows.grouping import streamed
from saima.features.windows.where import predicate, predicates

BASE: dict[str, Any] = {"from": "seen", "key": "a", "value": "n", "measures": ["sum"], "windows": ["1h"]}


def declare(lateness: str = "10m", **aggregates: dict[str, Any]) -> Declaration:
    fields = {"a": "string", "b": "string", "n": "int64", "x": "float64", "text": "string", "at": "timestamp"}
    return Declaration.model_validate(
        {
            "algorithm": "case",
            "sources": {"seen": {"key": "a", "fields": fields, "lateness": lateness}},
            "request": {"fields": {"a": "string", "b": "string"}},
            "aggregates": {name: {**BASE, **changes} for name, changes in aggregates.items()},
            "features": {"f": {"value": "a", "dtype": "string"}},
        }
    )


def test_aggregates_of_one_source_key_value_and_condition_share_a_group() -> None:
    declared = declare(
        one={}, two={"measures": ["max"], "windows": ["6h", "24h"]}, three={"value": None, "measures": ["count"]}
    )
    found = groups(declared)
    assert len(found) == 2
    shared = next(group for group in found if group.value == "n")
    assert shared.measures == {"sum", "max"}
    assert [w.width for w in shared.windows] == [HOUR, 6 * HOUR, 24 * HOUR]
    assert shared.hops == (5 * MINUTE, HOUR)
    assert [ask.column for read in reads(declared) for ask in read.asks if read.aggregate == "two"] == [
        "two.max_6h",
        "two.max_24h",
    ]


def test_the_order_of_a_composite_key_and_the_units_of_a_window_do_not_matter() -> None:
    (one,) = groups(declare(one={"key": ["a", "b"], "windows": ["60m"]}))
    (two,) = groups(declare(other={"key": ["b", "a"], "windows": ["1h"]}))
    assert one.table == two.table
    assert one.key == ("a", "b")


@pytest.mark.parametrize(
    "change",
    [
        {"key": "b"},
        {"windows": ["2h"]},
        {"measures": ["max"]},
        {"hop": "10m"},
        {"where": "n > 1"},
        {"measures": ["last_k"]},
    ],
)
def test_another_definition_has_another_table(change: dict[str, Any]) -> None:
    assert groups(declare(one={}))[0].table != groups(declare(one=change))[0].table


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"measures": ["sum"]}, {"measures": ["mean", "count"]}),
        ({"windows": ["6h"]}, {"windows": ["1h", "6h"]}),
        ({"where": "n > 1 and b == 'x'"}, {"where": "(b == 'x') and 1.0 < n"}),
        ({"measures": ["sum"], "k": 3}, {"measures": ["sum"], "error": 0.1}),
        ({"measures": ["last"], "k": 3}, {"measures": ["last"], "k": 5}),
    ],
)
def test_definitions_of_equal_state_share_a_table(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert groups(declare(one=one))[0].table == groups(declare(one=two))[0].table


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"measures": ["last_k"], "k": 3}, {"measures": ["last_k"], "k": 5}),
        ({"measures": ["quantile_5"], "error": 0.1}, {"measures": ["quantile_5"], "error": 0.2}),
        ({"measures": ["first"]}, {"measures": ["first_k"]}),
    ],
)
def test_what_a_state_keeps_is_part_of_its_name(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert groups(declare(one=one))[0].table != groups(declare(one=two))[0].table


def test_hops_that_do_not_divide_one_another_are_kept_apart() -> None:
    declared = declare(
        one={"windows": ["1h"], "hop": "7m"}, two={"windows": ["3h"]}, three={"windows": ["30m"], "hop": "0"}
    )
    assert sorted(group.hops for group in groups(declared)) == [(5 * MINUTE,), (7 * MINUTE,)]


def test_events_are_kept_for_the_lateness_and_for_sliding_windows() -> None:
    assert groups(declare(one={}))[0].keep == 2 * HOUR
    assert groups(declare("5h", one={}))[0].keep == 5 * HOUR
    assert groups(declare(one={"hop": "0"}))[0].keep == 3 * HOUR


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measures": ["summ"]}, "unknown measure 'summ' \\(did you mean 'sum'\\?\\)"),
        ({"value": None}, "measure 'sum' needs a value"),
        ({"value": "text"}, "measure 'sum' needs a number, 'text' is a string"),
        ({"value": "x"}, "a sum of float64 is not exact; write 'exact: false'"),
        ({"value": "m"}, "'seen' has no field 'm'"),
        ({"from": "sene"}, "unknown source 'sene' \\(did you mean 'seen'\\?\\)"),
        ({"windows": ["1 hour"]}, "'1 hour' is not a duration"),
        ({"windows": ["0h"]}, "'0h' is an empty window"),
        ({"measures": ["quantile_100"]}, "unknown measure 'quantile_100'"),
        ({"measures": ["quantile_95"]}, "'quantile_95' is approximate; declare its error, such as 'error: 0.01'"),
        ({"measures": ["quantile_95"], "value": "text", "error": 0.1}, "measure 'quantile_95' needs a number"),
        ({"measures": ["approx_distinct"], "error": 0.001}, "the error of 'approx_distinct' lies between 0.0021 and"),
        ({"measures": ["approx_distinct"], "value": "x", "error": 0.1}, "'approx_distinct' hashes its values"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=f"aggregates.one: {message}"):
        groups(declare(one=change))


def test_a_window_before_the_epoch_floors_down() -> None:
    assert window("1h").tail(-MINUTE) == -65 * MINUTE
    assert window("30d").tail(DAY * 40 + HOUR) == 10 * DAY


def test_conditions_are_compiled_by_table() -> None:
    declared = declare(one={"where": "n > 1 and text in ['u', 'v'] and hour(at) < 12"}, two={})
    assert list(predicates(declared)) == [group.table for group in groups(declared) if group.where]
    source = declared.sources["seen"]
    with pytest.raises(DeclarationError, match=r"where 'nn > 1'.*nn"):
        predicate(source, "nn > 1", "aggregates.one")
    with pytest.raises(DeclarationError, match="is int64; a condition is true or false"):
        predicate(source, "n + 1", "aggregates.one")


def test_what_is_of_tier_batch_is_not_streamed_and_widens_nothing_that_is() -> None:
    declared = declare(
        one={}, two={"measures": ["max"], "windows": ["24h"], "tier": "batch"}, three={"tier": "on_read"}
    )
    kept = streamed(declared)
    assert [group.table for group in kept] == [group.table for group in groups(declare(one={}))]
    assert {group.table for group in groups(declared)} - {kept[0].table} == {
        read.group.table for read in reads(declared) if read.aggregate == "two"
    }
    assert streamed(declare(one={"tier": "batch"})) == []
    assert (
        declared.model_dump() == declare(one={}, two={"measures": ["max"], "windows": ["24h"]}, three={}).model_dump()
    )
