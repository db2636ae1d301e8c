"""What is known last counts, and a late outcome's rows weigh what their scheme says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import SaimaError
from saima.learning.evaluation import gate, log_loss, measure
from saima.learning.outcomes import PRESUMED, settled, weighted
from saima.streams.schemes import JoinSpec, Label, rows


@given(
    st.sampled_from(["fnw", "esdfm", "defer", "waited"]),
    st.lists(st.one_of(st.none(), st.integers(0, 60)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_settled_row_of_a_candidate_is_its_outcome(scheme: str, clicks: list[int | None], shuffled: object) -> None:
    """Whatever rows a scheme has made by the end, and in whatever order they stand, the click is what counts."""
    spec = JoinSpec(scheme, attribution=50, wait=10)  # type: ignore[arg-type]
    made = [
        (f"t{place}", "", row.label, row.of.time if row.of else row.moment, row.role)
        for place, click in enumerate(clicks)
        for row in rows(spec, 0, [] if click is None else [Label(click, 0, 0, 1.0, 0)])
    ]
    shuffled.shuffle(made)  # type: ignore[attr-defined]
    columns = ["trace", "item", "label", "label_time", "role"]
    found = settled(pl.DataFrame(made, schema=columns, orient="row"))
    expected = {f"t{place}": float(click is not None and click <= 50) for place, click in enumerate(clicks)}
    assert dict(zip(found["trace"], found["label"], strict=True)) == expected
    assert found.height == len(clicks)


def test_a_correction_of_the_same_moment_replaces_the_negative() -> None:
    samples = pl.DataFrame(
        {"trace": ["a", "a"], "item": ["x", "x"], "label": [1.0, 0.0], "label_time": [5, 5],
         "role": ["correction", PRESUMED]}
    )  # fmt: skip
    assert settled(samples)["label"].to_list() == [1.0]


def test_weights_are_frozen_from_the_model_before_and_multiply_the_sampling_weight() -> None:
    samples = pl.DataFrame({"label": [1.0, 0.0], "weight": [1.0, 20.0]})
    found = weighted(samples, "fnw", lambda rows: np.full(rows.height, 0.25))
    assert found["weight"].to_list() == pytest.approx([1.25, 20.0 * 0.75 * 1.25])
    assert weighted(samples, "fnw", None).equals(samples)
    assert weighted(samples, "once", lambda rows: np.full(rows.height, 0.25)).equals(samples)
    with pytest.raises(SaimaError, match="needs p_dp"):
        weighted(samples, "esdfm", lambda rows: np.full(rows.height, 0.25))


def test_a_click_rate_is_judged_by_its_logarithmic_loss() -> None:
    label = np.array([0.0] * 99 + [1.0])
    good, bold = np.full(100, 0.01), np.full(100, 1e-6)
    assert measure(label, good).log_loss is None
    assert measure(label, bold, binary=True).mae < measure(label, good, binary=True).mae, "mae rewards saying never"
    verdict = gate(measure(label, bold, binary=True), measure(label, good, binary=True), metric="log_loss")
    assert not verdict.passed
    assert log_loss(label, label) < 1e-8
