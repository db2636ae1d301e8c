"""The report: trust first, a verdict for every kind of data, a page that stands alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab.report import Markdown, build, from_tables, to_html, to_metadata
from saima.errors import SaimaError
from saima.routing.experiments import Experiment
from saima.settings import Settings
from saima.stores import open_tables

Make = Callable[..., Any]
NOW = 1_366_000_000_000
VOID = {"meta", "circle", "line", "polyline", "polygon", "br"}


class Strict(HTMLParser):
    """Refuses a page whose tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        return

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def read(page: str) -> str:
    """Words of a page that stands alone."""
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert "url(" not in page
    parser = Strict()
    parser.feed(page)
    assert parser.open == []
    text = " ".join(parser.words)
    assert "nan" not in text.lower().replace("maintenance", "").split()
    assert not re.search(r"\bNone\b(?! of)", text)
    assert "inf" not in text.lower().split()
    return text


def mixed(frame: pl.DataFrame) -> pl.DataFrame:
    flipped = pl.when(pl.col("arm") == "champion").then(pl.lit("challenger")).otherwise(pl.lit("champion"))
    twins = frame.head(100).with_columns(trace=pl.col("trace") + "x", arm=flipped)
    return pl.concat([frame, twins])


CASES: dict[str, tuple[Callable[[Make], pl.DataFrame], str]] = {
    "better": (lambda make: make(better=0.2), "better"),
    "worse": (lambda make: make(better=-0.2), "worse"),
    "undecided": (lambda make: make(better=0.0), "undecided"),
    "mismatch": (lambda make: make(better=0.2, share=0.6), "untrusted"),
    "two arms a unit": (lambda make: mixed(make(better=0.2)), "untrusted"),
    "empty": (lambda make: make().head(0), "no_data"),
    "one arm": (lambda make: make(share=1.0), "one_arm"),
    "constant": (lambda make: make(400).with_columns(score=pl.col("label") + 1, temperature=pl.lit(1.0)), "constant"),
    "no label": (lambda make: make().with_columns(label=pl.lit(None, dtype=pl.Float64)), "no_data"),
    "one day": (lambda make: make(days=1, better=0.3), "better"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_data_has_a_verdict_and_a_page(
    name: str, experiment: Experiment, samples: Make, journal: Make
) -> None:
    make, code = CASES[name]
    frame = make(samples)
    report = build(experiment, frame.lazy(), journal=journal(frame), algorithm="flight_delay", generated=NOW)
    assert report.verdict.code == code
    text = read(to_html(report))
    assert text.index(report.verdict.headline) < text.index("Trust")
    assert "Fusing lowers the error <of> the estimate." in text
    metadata = to_metadata(report)
    assert metadata["verdict"] == report.verdict.headline
    assert all("nan" not in str(value).lower() for key, value in metadata.items() if key != "trend")


def test_without_a_journal_samples_stand_for_exposures(experiment: Experiment, samples: Make) -> None:
    report = build(experiment, samples(better=0.2).lazy(), generated=NOW)
    assert report.verdict.code == "better"
    assert "units with an outcome" in report.checks[0].sentence


def test_missing_outcomes_of_one_arm_are_the_headline(experiment: Experiment, samples: Make, journal: Make) -> None:
    frame = samples(better=0.2)
    lost = frame.filter((pl.col("arm") == "champion") | (pl.col("label") < 20))
    report = build(experiment, lost.lazy(), journal=journal(frame), generated=NOW)
    assert report.verdict.code == "untrusted"
    assert "Outcomes are missing unequally" in report.verdict.because


def test_groups_that_differ_before_are_the_headline(experiment: Experiment, samples: Make) -> None:
    frame = samples(better=0.2).with_columns(
        temperature=pl.col("temperature") + 3 * (pl.col("arm") == "challenger").cast(pl.Float32)
    )
    report = build(experiment, frame.lazy(), generated=NOW)
    assert report.verdict.code == "untrusted"
    assert "temperature" in report.verdict.because


def test_young_decisions_wait_for_all_outcomes_of_their_age(experiment: Experiment, samples: Make) -> None:
    report = build(experiment, samples().lazy(), generated=NOW)
    assert report.position.immature > 0
    assert report.position.last is not None
    assert report.position.newest_label is not None
    assert report.position.newest_label - report.position.last >= 3 * 3_600_000


def test_a_broken_guardrail_overrules_a_better_primary(experiment: Experiment, samples: Make) -> None:
    frame = samples(better=0.3).with_columns(cost=pl.when(pl.col("arm") == "champion").then(1.0).otherwise(3.0))
    frame = frame.with_columns(cost=pl.col("cost") + pl.col("label") / 100)
    body = experiment.model_dump(mode="json")
    body["metrics"]["cost"] = {"value": "cost", "direction": "lower", "role": "guardrail", "margin": 0.1}
    report = build(Experiment.model_validate(body), frame.lazy(), generated=NOW, quantities=["temperature"])
    assert report.verdict.code == "harmful"
    assert "guardrail" in read(to_html(report))


def test_three_arms_are_each_compared_and_corrected(experiment: Experiment, samples: Make) -> None:
    body = experiment.model_dump(mode="json")
    body["arms"] = {
        name: {"lineage": "xgb", "weight": weight} for name, weight in (("champion", 50), ("b", 25), ("c", 25))
    }
    frame = samples(6000, better=0.3)
    halves = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("b")).otherwise(pl.lit("c"))
    frame = frame.with_columns(arm=pl.when(pl.col("arm") == "champion").then(pl.col("arm")).otherwise(halves))
    report = build(Experiment.model_validate(body), frame.lazy(), generated=NOW)
    primary = [effect for effect in report.effects if effect.metric == "absolute_error"]
    assert [effect.arm for effect in primary] == ["b", "c"]
    for effect in primary:
        assert effect.estimate is not None
        assert effect.p_adjusted is not None
        assert effect.p_adjusted >= effect.estimate.p_value
    read(to_html(report))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 12), seed=st.integers(0, 1000), sequential=st.booleans())
def test_a_handful_of_samples_is_no_reason_to_fail(
    n: int, seed: int, sequential: bool, experiment: Experiment, samples: Make, journal: Make
) -> None:
    method = {"alpha": 0.05, "method": "sequential" if sequential else "fixed"}
    chosen = Experiment.model_validate({**experiment.model_dump(mode="json"), "analysis": method})
    frame = samples(n, seed=seed)
    report = build(chosen, frame.lazy(), journal=journal(frame), generated=NOW)
    read(to_html(report))


def test_metadata_has_a_plot_and_tables(experiment: Experiment, samples: Make) -> None:
    metadata = to_metadata(build(experiment, samples(better=0.2).lazy(), generated=NOW))
    assert isinstance(metadata["effects"], Markdown)
    assert str(metadata["trend"]).startswith("![absolute error by day](data:image/png;base64,")
    assert metadata["trusted"] is True
    json.dumps(metadata)


def test_from_tables(experiment: Experiment, samples: Make, journal: Make, tmp_path: Path) -> None:
    folder = tmp_path / "algorithms" / "demo" / "experiments"
    folder.mkdir(parents=True)
    (folder / "fusion.yaml").write_text(json.dumps(experiment.model_dump(mode="json")))
    chosen = Settings(home=tmp_path / "home", algorithms=tmp_path / "algorithms")
    tables = open_tables(chosen)
    assert from_tables("demo", "fusion", tables, generated=NOW, settings=chosen).verdict.code == "no_data"
    frame = samples(better=0.2)
    tables.append("demo/samples", frame)
    tables.append("demo/journal", journal(frame).collect())
    assert from_tables("demo", "fusion", tables, generated=NOW, settings=chosen).verdict.code == "better"
    with pytest.raises(SaimaError, match=r"did you mean 'fusion'"):
        from_tables("demo", "fusoin", tables, generated=NOW, settings=chosen)
