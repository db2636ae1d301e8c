"""Suites compiled to Great Expectations: the full validation that follows a publication.

The gate (`saima.quality.gate`) decides at once; this tells a person the same in the field's own terms. Great
Expectations takes seconds to import, so that it is imported inside the functions; nothing is written to the disk.
"""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

from saima.quality import (
    Between,
    Check,
    ColumnType,
    InSet,
    MeanBetween,
    NotNull,
    RowCountBetween,
    Suite,
    Unique,
)

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite

_SEVERITY = {"error": "critical", "warn": "warning"}

_TYPES = {
    "int64": "Int64Dtype",
    "int32": "Int32Dtype",
    "float32": "Float32Dtype",
    "float64": "Float64Dtype",
    "bool": "BooleanDtype",
    "string": "StringDtype",
    "timestamp": "datetime64[ms]",
}
"""Pandas type of a suite's column type, in the frame that `to_pandas` makes."""


def to_suite(suite: Suite) -> ExpectationSuite:
    """The suite as an ExpectationSuite: one expectation a check, in order, `meta` naming its kind and its words."""
    import great_expectations as gx

    return gx.ExpectationSuite(
        name=suite.name,
        expectations=[_expectation(check, number) for number, check in enumerate(suite.checks)],
        meta={"description": suite.description, "tables": list(suite.tables)},
    )


def validate(suite: Suite, frame: pl.DataFrame) -> dict[str, Any]:
    """Validate a frame with Great Expectations.

    Returns {suite, success, rows, checked, failed, breaches: [{kind, column, severity, expected, observed}]};
    `success` is false if a check of severity error fails.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas(f"saima-{uuid.uuid4().hex}")
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("whole")
    outcome = batch.get_batch({"dataframe": to_pandas(frame)}).validate(to_suite(suite), result_format="BASIC")
    # Great Expectations returns results in an order of its own.
    numbered: dict[int, Any] = {result.expectation_config.meta["number"]: result for result in outcome.results}  # type: ignore[union-attr]
    breaches = [
        _breach(check, result)
        for number, check in enumerate(suite.checks)
        if not ((result := numbered[number]).success or _measured_nothing(check, result))
    ]
    return {
        "suite": suite.name,
        "success": not any(breach["severity"] == "error" for breach in breaches),
        "rows": frame.height,
        "checked": len(suite.checks),
        "failed": len(breaches),
        "breaches": breaches,
    }


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """The frame in pandas: nullable types, so that a null turns no integer into a float; NaN missing; UTC left out."""
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.large_string(): pd.StringDtype(),
    }
    plain = frame.with_columns(cs.float().fill_nan(None), cs.datetime(time_zone="*").dt.replace_time_zone(None))
    whole: pd.DataFrame = plain.to_arrow(compat_level=pl.CompatLevel.oldest()).to_pandas(types_mapper=nullable.get)
    return whole


def _expectation(check: Check, number: int) -> Any:
    gxe: Any = import_module("great_expectations.expectations")
    kept: dict[str, Any] = {
        "severity": _SEVERITY[check.severity],
        "meta": {"number": number, "kind": getattr(check, "kind", ""), "expected": check.text},
    }
    if isinstance(check, NotNull):
        return gxe.ExpectColumnValuesToNotBeNull(column=check.column, mostly=_mostly(check.share), **kept)
    if isinstance(check, Between):
        return gxe.ExpectColumnValuesToBeBetween(
            column=check.column, min_value=check.min, max_value=check.max, mostly=_mostly(check.share), **kept
        )
    if isinstance(check, InSet):
        return gxe.ExpectColumnValuesToBeInSet(
            column=check.column, value_set=list(check.values), mostly=_mostly(check.share), **kept
        )
    if isinstance(check, Unique):
        if len(check.columns) == 1:
            return gxe.ExpectColumnValuesToBeUnique(column=check.columns[0], **kept)
        return gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(check.columns), ignore_row_if="any_value_is_missing", **kept
        )
    if isinstance(check, RowCountBetween):
        return gxe.ExpectTableRowCountToBeBetween(
            min_value=None if check.min is None else int(check.min),
            max_value=None if check.max is None else int(check.max),
            **kept,
        )
    if isinstance(check, MeanBetween):
        return gxe.ExpectColumnMeanToBeBetween(column=check.column, min_value=check.min, max_value=check.max, **kept)
    if isinstance(check, ColumnType):
        return gxe.ExpectColumnValuesToBeInTypeList(column=check.column, type_list=[_TYPES[check.type]], **kept)
    raise TypeError(f"no expectation for a check of class {type(check).__name__}")


def _mostly(share: float) -> float:
    return round(1 - share, 12)


def _measured_nothing(check: Check, result: Any) -> bool:
    """A mean of no values is no breach, as in the gate."""
    raised = any(
        isinstance(info, dict) and info.get("raised_exception")
        for info in (result.exception_info, *result.exception_info.values())
    )
    return isinstance(check, MeanBetween) and not raised and result.result.get("observed_value") is None


def _breach(check: Check, result: Any) -> dict[str, Any]:
    seen = result.result
    if "observed_value" in seen:
        observed = str(seen["observed_value"])
    elif "unexpected_percent" in seen:
        observed = f"{seen['unexpected_count']} unexpected values ({seen['unexpected_percent'] or 0:.3g} %)"
    else:
        observed = "not measurable: the column is missing or of another type"
    return {
        "kind": getattr(check, "kind", ""),
        "column": ",".join(check.columns_read),
        "severity": check.severity,
        "expected": check.text,
        "observed": observed,
    }
