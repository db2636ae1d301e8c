"""`saima ab` on a real registry, real tables and a real declaration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import DeclarationError, SaimaError
from saima.routing.deployment import AlgorithmState, configure, read_document, refresh, write
from saima.routing.layers import Layers
from saima.routing.running import Refused
from saima.settings import ROOT, settings
from saima.stores import open_registry, open_tables
from saima.stores.interfaces import Registry

EXPERIMENT = """\
experiment: fusion
layer: model
unit: carrier
salt: one
coverage: 20
ramp: [{coverage: 60, after: 0s}, {coverage: 100, after: 9d}]
minimum_duration: 14d
arms:
  champion: {lineage: xgb, weight: 50}
  challenger: {lineage: fusion, weight: 50, parameters: {net_weight: 0.4}}
metrics:
  error: {value: "abs(label - score)", direction: lower, role: primary}
analysis: {method: fixed}
"""
UNITS = [f"unit-{i}" for i in range(1000)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    for name in ("flight_delay", "shared"):
        shutil.copytree(ROOT / "algorithms" / name, tmp_path / "algorithms" / name)
    path = tmp_path / "algorithms" / "flight_delay" / "experiments" / "fusion.yaml"
    path.write_text(EXPERIMENT)
    settings.cache_clear()
    yield path
    settings.cache_clear()


@pytest.fixture
def registry(file: Path) -> Iterator[Registry]:
    opened = open_registry()
    write(opened, refresh("flight_delay", "xgb", 1), "test", "first")
    write(opened, refresh("flight_delay", "fusion", 2), "test", "second")
    yield opened
    opened.close()


def run(*arguments: str, code: int = 0) -> str:
    ran = CliRunner().invoke(saima, ["ab", *arguments], catch_exceptions=False)
    assert ran.exit_code == code, ran.output
    return ran.output


def told(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json"))
    return found


def state(registry: Registry) -> AlgorithmState:
    return read_document(registry.deployment().document).algorithms["flight_delay"]


def arms(registry: Registry) -> dict[str, str]:
    layers: Layers = state(registry).layers
    return {unit: layers.resolve(lambda _, unit=unit: unit)[0].arm for unit in UNITS}


def journal(registry: Registry) -> dict[str, str]:
    """A journal in which every unit was served as it is routed now."""
    now = arms(registry)
    records = [
        {"trace": f"t{number}", "unit": unit, "experiment": "fusion", "arm": arm, "reason": "hashed", "time": number,
         "answered": number, "degraded": [], "shadow": False, "override": False}
        for number, (unit, arm) in enumerate(now.items()) if arm
    ]  # fmt: skip
    frame = pl.DataFrame(
        {
            "trace": [one["trace"] for one in records],
            "record": [json.dumps(one) for one in records],
            "time": [one["time"] for one in records],
            "day": "1970-01-01",
        }
    )
    open_tables(settings()).append("flight_delay/journal", frame)
    return {str(one["unit"]): str(one["arm"]) for one in records}


def test_every_command_explains_itself(file: Path) -> None:
    for command in ("check", "start", "ramp", "stop", "report", "power", "aa"):
        assert "Usage: saima ab" in run(command, "--help")


def test_from_the_file_to_the_end(registry: Registry) -> None:
    assert "does not run" in run("check", "flight_delay")
    begun = told("start", "flight_delay", "fusion")
    assert (begun["epoch"], begun["coverage"], begun["changed"], begun["forced"]) == (3, 20, True, False)
    before = arms(registry)
    assert 130 < sum(map(bool, before.values())) < 270
    assert told("start", "flight_delay", "fusion")["changed"] is False
    assert told("ramp", "flight_delay", "fusion")["coverage"] == 60
    with pytest.raises(SaimaError, match="no phase of 'fusion' is due beyond 60 %; phases to come: 100 %"):
        run("ramp", "flight_delay", "fusion")
    assert told("ramp", "flight_delay", "fusion", "80")["moved"] == {"between_arms": 0, "out_of_arms": 0}
    after = arms(registry)
    assert all(after[unit] == arm for unit, arm in before.items() if arm)
    assert "runs at 80 %; as declared now" in run("check", "flight_delay")
    assert told("start", "flight_delay", "fusion")["coverage"] == 80, "a start again does not take the ramp back"
    ended = run("stop", "flight_delay", "fusion", "--promote", "challenger", "--reason", "it won")
    assert "decides nothing yet" in ended
    assert state(registry).default_lineage == "fusion"
    history = registry.marks("experiment")
    assert [(mark["action"], mark["coverage"]) for mark in history] == [
        ("start", 20), ("ramp", 60), ("ramp", 80), ("stop", None),
    ]  # fmt: skip
    assert history[-1]["reason"] == "it won"
    with pytest.raises(Refused, match=r"quarantine for 168.0 h more"):
        run("start", "flight_delay", "fusion")


def test_a_change_that_moves_units_says_how_many_and_waits_to_be_forced(registry: Registry, file: Path) -> None:
    run("start", "flight_delay", "fusion")
    run("ramp", "flight_delay", "fusion", "100")
    before = journal(registry)
    assert len(before) == len(UNITS)
    file.write_text(EXPERIMENT.replace("salt: one", "salt: two"))
    assert json.loads(run("check", "flight_delay", "--json"))["flight_delay"]["experiments"][0]["would_move"] == {
        "between_arms": 0.5, "out_of_arms": 0.0,
    }  # fmt: skip
    with pytest.raises(Refused, match=r"50.00% of all units .* of 1,000 units in the journal") as caught:
        run("start", "flight_delay", "fusion")
    assert arms(registry) == before
    forced = told("start", "flight_delay", "fusion", "--force")
    after = arms(registry)
    moved = sum(after[unit] != arm for unit, arm in before.items())
    assert forced["moved"]["units_moved"] == moved
    assert f"of 1,000 units in the journal {moved:,}" in str(caught.value)
    assert forced["forced"] is True
    assert registry.marks("experiment")[-1]["moved"]["units_moved"] == moved


def test_writers_at_once_lose_no_change(registry: Registry) -> None:
    run("start", "flight_delay", "fusion")
    epoch = registry.deployment().epoch
    write(registry, configure("flight_delay", shadow="xgb"), "test", "at once")
    run("ramp", "flight_delay", "fusion", "50")
    assert registry.deployment().epoch == epoch + 2
    assert (state(registry).shadow, state(registry).experiments[0].coverage) == ("xgb", 50)


@pytest.mark.parametrize(
    ("find", "put", "error", "words"),
    [
        ("lineage: fusion", "lineage: fuson", DeclarationError, r"experiments/fusion.yaml:10:.*did you mean 'fusion'"),
        ("experiment: fusion", "experiment: other", SaimaError, "declares no experiment 'fusion'.*; declared: other"),
    ],
)
def test_what_is_wrong_is_not_started(
    registry: Registry, file: Path, find: str, put: str, error: type[SaimaError], words: str
) -> None:
    file.write_text(EXPERIMENT.replace(find, put))
    with pytest.raises(error, match=words):
        run("start", "flight_delay", "fusion")
    assert registry.marks("experiment") == []


def test_check_shows_every_mistake_and_fails(file: Path) -> None:
    file.write_text(EXPERIMENT.replace("unit: carrier", "unit: carier"))
    found = json.loads(run("check", "--json", code=1))
    assert "fusion.yaml:3:" in found["flight_delay"]["error"]


def test_power_and_aa_read_the_samples(registry: Registry) -> None:
    with pytest.raises(SaimaError, match="no samples of 'flight_delay'"):
        run("power", "flight_delay", "fusion")
    random = np.random.default_rng(5)
    n = 2000
    time = np.sort(random.integers(0, 6 * 86_400_000, n))
    frame = pl.DataFrame(
        {"trace": [f"t{i}" for i in range(n)], "unit": [f"u{i}" for i in range(n)], "time": time,
         "label": random.normal(10, 5, n), "score": random.normal(10, 3, n), "arm": "", "day": "1970-01-01"}
    )  # fmt: skip
    open_tables(settings()).append("flight_delay/samples", frame)
    (planned,) = json.loads(run("power", "flight_delay", "fusion", "--effect", "0.2", "--json"))
    assert planned["days"] > 0
    assert "an effect of 20.00% takes" in run("power", "flight_delay", "fusion", "--effect", "0.2")
    tested = json.loads(run("aa", "flight_delay", "fusion", "--seeds", "10", "--replays", "40", "--json"))
    assert tested["search"]["salt"].startswith("fusion:")
    assert tested["replayed"][0]["uniform"] is True


def test_what_is_not_deployed_or_not_running_says_so(registry: Registry) -> None:
    with pytest.raises(SaimaError, match="no experiment 'fusion' runs; running: none"):
        run("stop", "flight_delay", "fusion")
    with pytest.raises(SaimaError, match="nothing of 'other' is deployed; deployed: flight_delay"):
        run("ramp", "other", "fusion", "5")
