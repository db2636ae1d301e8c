"""A shared file is one asset with one monitor, whatever number of algorithms reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.factory import Assets
from assets.shared import shared_assets
from assets.stores import Stores
from saima.features import load
from saima.settings import Settings, settings
from saima.stores import open_tables

Found = tuple[list[dg.AssetSpec], list[dg.AssetChecksDefinition]]
SHARED = """
description: The clock.
features:
  clock_hour: {value: "hour()", dtype: int64, default: 0, description: Hour of the request.}
"""
SUITE = """
description: Hours.
tables: [shared/clock]
checks:
  - {kind: between, column: clock_hour, min: 0, max: 23}
"""
ALGORITHM = """
algorithm: {name}
owner: team:{name}
use: [clock]
request: {{fields: {{n: int64}}}}
features:
  own: {{value: "n + clock_hour", dtype: int64}}
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Found]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    root = tmp_path / "algorithms"
    for folder, text in (("features", SHARED), ("expectations", SUITE)):
        (root / "shared" / folder).mkdir(parents=True)
        (root / "shared" / folder / "clock.yaml").write_text(text)
    for name in ("first", "second"):
        (root / name).mkdir()
        (root / name / "algorithm.yaml").write_text(ALGORITHM.format(name=name))
    yield shared_assets(root, [Assets(load(name, root), None, []) for name in ("second", "first")])
    settings.cache_clear()


def test_one_asset_names_its_readers(found: Found) -> None:
    (spec,), (check,) = found
    assert spec.key == dg.AssetKey(["shared", "clock"])
    assert spec.owners == ["team:first", "team:second"]
    assert "read by first, second" in str(spec.description)
    assert [column.name for column in spec.metadata["dagster/column_schema"].columns] == ["clock_hour"]
    assert [key.name for key in check.check_keys] == ["monitor_clock"]


def test_the_monitor_reads_all_readers(found: Found, tmp_path: Path) -> None:
    (_, (check,)), tables = found, open_tables(Settings(home=tmp_path / "home"))

    def run() -> dg.AssetCheckResult:
        result = check(Stores())
        assert isinstance(result, dg.AssetCheckResult)
        return result

    assert run().description == "no reader has rows yet"
    tables.append("first/samples", pl.DataFrame({"time": [1, 2], "clock_hour": [0, 23]}))
    tables.append("second/history_features", pl.DataFrame({"time": [1], "clock_hour": [7]}))
    passed = run()
    assert passed.passed
    assert passed.metadata["rows/first"].value == 2
    assert passed.metadata["rows/second"].value == 1
    tables.append("second/samples", pl.DataFrame({"time": [3], "clock_hour": [24]}))
    failed = run()
    assert not failed.passed
    assert "clock_hour" in str(failed.description)
    assert failed.metadata["rows/second"].value == 1


def test_a_reader_that_does_not_know_the_feature_yet_is_left_out(found: Found, tmp_path: Path) -> None:
    """Samples from before `use:` was written have no such column."""
    open_tables(Settings(home=tmp_path / "home")).append("first/samples", pl.DataFrame({"time": [1], "own": [1]}))
    result = found[1][0](Stores())
    assert result.passed
    assert "rows/first" not in result.metadata
