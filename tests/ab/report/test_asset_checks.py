"""The report as Dagster materializes it: each trust check that fails fails its asset check, and only that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.ab_reports import CHECKS, ab_report
from assets.stores import Stores
from saima.features import load
from saima.routing.experiments import load_experiments
from saima.settings import ROOT

from .test_report import mixed, read

Make = Callable[..., Any]
Both = tuple[pl.DataFrame, pl.DataFrame]


def warmer(frame: pl.DataFrame) -> pl.DataFrame:
    shift = 3 * (pl.col("arm") == "challenger").cast(pl.Float32)
    return frame.with_columns(temperature=pl.col("temperature") + shift)


def crossed(frame: pl.DataFrame) -> pl.DataFrame:
    other = pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("champion")).otherwise("arm")
    return frame.with_columns(device_arm=other)


def both(frame: pl.DataFrame) -> Both:
    return frame, frame


CASES: dict[str, Callable[[Make], Both]] = {
    "": lambda make: both(make()),
    "sample_ratio": lambda make: both(make(share=0.6)),
    "alike_before": lambda make: both(warmer(make())),
    "one_arm_a_unit": lambda make: both(mixed(make())),
    "join_rate": lambda make: (make(), make().filter(pl.int_range(pl.len()) % 3 == 0)),
    "penetration": lambda make: both(crossed(make())),
}


@pytest.mark.parametrize("broken", CASES)
def test_a_check_fails_where_its_trust_check_does(broken: str, samples: Make, journal: Make, tmp_path: Path) -> None:
    exposed, joined = CASES[broken](samples)
    stores = Stores(home=str(tmp_path))
    stores.tables.append("flight_delay/samples", joined)
    stores.tables.append("flight_delay/journal", journal(exposed).collect())
    algorithm = load("flight_delay")
    (experiment,) = load_experiments(ROOT / "algorithms" / "flight_delay")
    done = dg.materialize([ab_report(algorithm, experiment)], resources={"stores": stores})
    passed = {each.check_name: each.passed for each in done.get_asset_check_evaluations()}
    assert set(passed) == set(CHECKS)
    assert {name for name, fine in passed.items() if not fine} == ({broken} if broken else set())
    (materialized,) = done.asset_materializations_for_node("flight_delay__ab_report_fusion")
    assert materialized.metadata["trusted"].value is (not broken)
    text = read((tmp_path / "reports" / "flight_delay" / "fusion.html").read_text("utf-8"))
    assert str(materialized.metadata["verdict"].value) in text
