from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from saima.quality import Suite, gate


def breaches(check: dict[str, Any], frame: pl.DataFrame) -> list[str]:
    suite = Suite.model_validate({"name": "s", "checks": [check]})
    return [str(breach) for breach in gate(suite, frame)]


NAN = float("nan")

CASES = [
    # check, values that hold, values that do not
    ({"kind": "not_null", "column": "v"}, [1, 2], [1, None]),
    ({"kind": "not_null", "column": "v", "share": 0.5}, [1, None], [1, None, None]),
    ({"kind": "not_null", "column": "v"}, [1.0], [1.0, NAN]),
    ({"kind": "between", "column": "v", "min": 0, "max": 2}, [0, 2, None], [3]),
    ({"kind": "between", "column": "v", "min": 0}, [0, 99], [-1]),
    ({"kind": "between", "column": "v", "max": 2}, [-99, 2], [3]),
    ({"kind": "between", "column": "v", "max": 2.5}, [2.5, NAN, None], [2.6]),
    ({"kind": "between", "column": "v", "max": 2, "share": 0.5}, [1, 3, None], [1, 3, 3, None, None]),
    ({"kind": "in_set", "column": "v", "values": ["a", "b"]}, ["a", None], ["a", "c"]),
    ({"kind": "in_set", "column": "v", "values": [1, 2], "share": 0.5}, [1, 3], [3]),
    ({"kind": "unique", "columns": ["v"]}, [1, 2, None, None], [1, 1]),
    ({"kind": "row_count_between", "min": 1, "max": 2}, [1, 1], [1, 1, 1]),
    ({"kind": "mean_between", "column": "v", "min": 1, "max": 2}, [0, 3, None], [3, 3]),
    ({"kind": "mean_between", "column": "v", "max": 2}, [1.0, NAN], [2.5]),
    ({"kind": "type", "column": "v", "type": "int64"}, [1], ["a"]),
    ({"kind": "type", "column": "v", "type": "string"}, ["a"], [1]),
]


@pytest.mark.parametrize(("check", "good", "bad"), CASES)
def test_each_kind(check: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert breaches(check, pl.DataFrame({"v": good})) == []
    assert len(breaches(check, pl.DataFrame({"v": bad}))) == 1


def test_unique_over_several_columns() -> None:
    check = {"kind": "unique", "columns": ["a", "b"]}
    assert breaches(check, pl.DataFrame({"a": [1, 1, None, None], "b": [1, 2, 1, 1]})) == []
    assert breaches(check, pl.DataFrame({"a": [1, 1, 1], "b": [2, 2, 2]})) == [
        "s: expected that a, b is unique; observed 2"
    ]


def test_no_rows_break_the_row_count_only() -> None:
    frame = pl.DataFrame(schema={"v": pl.Float64})
    for check, _, _ in CASES:
        if check["kind"] not in ("type", "row_count_between") and "a" not in check.get("values", []):
            assert breaches(check, frame) == []
    assert breaches({"kind": "row_count_between", "min": 1}, frame) == [
        "s: expected that the number of rows is at least 1; observed 0"
    ]


def test_a_missing_column_is_a_breach_of_its_checks_alone() -> None:
    suite = Suite.model_validate(
        {
            "name": "s",
            "checks": [
                {"kind": "not_null", "column": "dep_dely"},
                {"kind": "between", "column": "dep_delay", "min": 0, "severity": "warn"},
                {"kind": "unique", "columns": ["dep_delay", "other"]},
            ],
        }
    )
    found = gate(suite, pl.DataFrame({"dep_delay": [-1]}).lazy())
    assert [(b.kind, b.column, b.blocking, b.observed) for b in found] == [
        ("not_null", "dep_dely", True, "no column dep_dely (did you mean 'dep_delay'?)"),
        ("between", "dep_delay", False, 1.0),
        ("unique", "dep_delay,other", True, "no column other"),
    ]


def test_a_breach_says_what_was_expected_and_seen() -> None:
    check = {"kind": "between", "column": "dep_delay", "min": -180, "max": 2880, "share": 0.25}
    assert breaches(check, pl.DataFrame({"dep_delay": [0, 9999]})) == [
        "s: expected that 'dep_delay' is between -180 and 2880, but for a share of 0.25; observed 0.5"
    ]
