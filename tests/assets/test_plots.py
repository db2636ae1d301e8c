"""Plots are well-formed pictures whatever they are given."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import dagster as dg
import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assets import plots

FLOATS = st.floats(-1e12, 1e12)


def picture(value: dg.MarkdownMetadataValue) -> ElementTree.Element:
    text = value.md_str or ""
    assert text.startswith("![")
    encoded = text.partition("base64,")[2].rstrip(")")
    return ElementTree.fromstring(base64.b64decode(encoded))


@given(arrays.arrays(np.float64, st.integers(0, 50), elements=FLOATS | st.sampled_from([np.nan, np.inf])))
def test_a_distribution_of_anything(values: np.ndarray) -> None:
    assert picture(plots.distribution(values, "Labels", "minutes")).tag.endswith("svg")


@given(st.integers(1, 60), st.data())
def test_a_calibration_of_any_scores(n: int, data: st.DataObject) -> None:
    label, score = (data.draw(arrays.arrays(np.float64, n, elements=FLOATS)) for _ in range(2))
    svg = picture(plots.calibration(label, {"a <b>": score}))
    assert len([each for each in svg if each.tag.endswith("circle")]) == min(10, n)


def test_bars_and_days_show_every_value() -> None:
    svg = picture(plots.bars({"one": 1.0, "two": 2.0}, "Errors [all]", "minutes"))
    assert len([each for each in svg if each.tag.endswith("rect")]) == 3
    svg = picture(plots.by_day(pl.DataFrame({"day": ["2013-01-01", "2013-01-02", "2013-01-01"]}), "requests"))
    assert len([each for each in svg if each.tag.endswith("rect")]) == 3
    picture(plots.by_day(pl.DataFrame({"day": []}, schema={"day": pl.String}), "requests"))
