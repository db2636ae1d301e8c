"""The check on lag, from a worker that keeps up, lags, is silent, is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.factory import assets_of
from assets.stores import Stores
from assets.streams import lag
from saima.stores import open_registry

ALGORITHM = """
algorithm: shop
sources: {viewed: {key: shop, fields: {shop: string}}}
request: {fields: {shop: string}}
features: {known: {value: "request.shop == 's1'", dtype: bool}}
"""


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., dg.AssetCheckResult]:
    folder = tmp_path / "algorithms" / "shop"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(ALGORITHM)
    check, of_matches = lag([assets_of(folder)])
    assert [key.asset_key.path for key in of_matches.check_keys] == [["matches"]]
    stores = Stores(home=str(tmp_path / "home"))
    registry = open_registry(stores.settings)

    def run(**status: Any) -> dg.AssetCheckResult:
        if status:
            registry.set_status("worker/0", status)
        found = check(stores=stores)
        assert isinstance(found, dg.AssetCheckResult)
        return found

    return run


def test_lag(look: Callable[..., dg.AssetCheckResult], monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = look()
    assert not nobody.passed
    assert "`saima up` starts one" in str(nobody.description)
    good = look(lag_events=3, watermarks={"viewed": 5_000})
    assert good.passed
    assert good.metadata["lag_events"].value == 3
    assert good.metadata["watermark"].value == 5.0
    behind = look(lag_events=20_000)
    assert not behind.passed
    assert behind.severity == dg.AssetCheckSeverity.WARN
    assert behind.description == "worker/0 is 20000 events behind"
    import time

    later = time.time_ns() + 45_000_000_000
    monkeypatch.setattr("assets.streams.time.time_ns", lambda: later)
    assert "silent for 4" in str(look().description)
