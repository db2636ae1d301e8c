from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.great_expectations import to_suite, validate
from saima.quality import Suite, gate

pytestmark = pytest.mark.filterwarnings("ignore")  # Great Expectations and pandas warn about each other


def suite(*checks: dict[str, Any]) -> Suite:
    return Suite.model_validate({"name": "s", "checks": list(checks)})


ALL = suite(
    {"kind": "not_null", "column": "i", "share": 0.3},
    {"kind": "not_null", "column": "f"},
    {"kind": "between", "column": "i", "min": -1, "max": 3, "share": 0.2},
    {"kind": "between", "column": "f", "min": 0, "severity": "warn"},
    {"kind": "in_set", "column": "s", "values": ["a", "b"], "share": 0.25},
    {"kind": "in_set", "column": "i", "values": [1, 2, 3]},
    {"kind": "unique", "columns": ["s"]},
    {"kind": "unique", "columns": ["s", "i"]},
    {"kind": "row_count_between", "min": 2, "max": 4},
    {"kind": "mean_between", "column": "f", "min": 0, "max": 1},
    {"kind": "mean_between", "column": "i", "max": 2, "severity": "warn"},
    {"kind": "type", "column": "i", "type": "int64"},
    {"kind": "type", "column": "f", "type": "float32"},
    {"kind": "type", "column": "s", "type": "string"},
    {"kind": "type", "column": "b", "type": "bool"},
    {"kind": "type", "column": "t", "type": "timestamp"},
)

ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-2, 4),
        st.none() | st.sampled_from([float("nan"), -1.0, 0.0, 0.5, 2.0]),
        st.none() | st.sampled_from("abc"),
        st.none() | st.booleans(),
        st.none() | st.integers(0, 10),
    ),
    max_size=6,
)


FRAMES = {
    "rows": ROWS,
    "integer": st.sampled_from([pl.Int64, pl.Int32]),
    "real": st.sampled_from([pl.Float32, pl.Float64]),
}


def agree(rows: list[tuple[Any, ...]], integer: Any, real: Any) -> None:
    schema = {"i": integer, "f": real, "s": pl.String, "b": pl.Boolean, "t": pl.Datetime("ms", "UTC")}
    frame = pl.DataFrame(rows, schema, orient="row")
    here = [(b.kind, b.column, b.severity, b.expected) for b in gate(ALL, frame)]
    summary = validate(ALL, frame)
    there = [(b["kind"], b["column"], b["severity"], b["expected"]) for b in summary["breaches"]]
    assert here == there
    assert summary["success"] == (not any(severity == "error" for _, _, severity, _ in here))
    assert (summary["rows"], summary["checked"], summary["failed"]) == (frame.height, len(ALL.checks), len(here))


@settings(max_examples=8, deadline=None)
@given(**FRAMES)
def test_the_gate_and_great_expectations_agree(rows: list[tuple[Any, ...]], integer: Any, real: Any) -> None:
    agree(rows, integer, real)


@pytest.mark.full
@settings(max_examples=60, deadline=None)
@given(**FRAMES)
def test_the_gate_and_great_expectations_agree_in_full(rows: list[tuple[Any, ...]], integer: Any, real: Any) -> None:
    agree(rows, integer, real)


def test_a_missing_column_fails_its_checks() -> None:
    checks = suite({"kind": "not_null", "column": "gone"}, {"kind": "mean_between", "column": "gone", "min": 0})
    summary = validate(checks, pl.DataFrame({"v": [1]}))
    assert [b["observed"] for b in summary["breaches"]] == [
        "not measurable: the column is missing or of another type"
    ] * 2


def test_warnings_do_not_fail_a_validation() -> None:
    checks = suite({"kind": "between", "column": "v", "max": 1, "severity": "warn"})
    summary = validate(checks, pl.DataFrame({"v": [1, 2]}))
    assert summary["success"]
    assert summary["breaches"] == [
        {
            "kind": "between",
            "column": "v",
            "severity": "warn",
            "expected": "'v' is at most 1",
            "observed": "1 unexpected values (50 %)",
        }
    ]


def test_a_suite_compiles_to_one_expectation_a_check() -> None:
    compiled = to_suite(ALL)
    assert compiled.name == "s"
    assert [e.meta["expected"] for e in compiled.expectations] == [check.text for check in ALL.checks]
    assert {e.severity.value for e in compiled.expectations} == {"critical", "warning"}


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert validate(suite({"kind": "not_null", "column": "v"}), pl.DataFrame({"v": [1]}))["success"]
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_light() -> None:
    program = """
import sys
import expectations.great_expectations
print(sorted({"great_expectations", "pandas", "dagster"} & set(sys.modules)))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
