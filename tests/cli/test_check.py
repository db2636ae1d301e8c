"""`saima check`: what is accepted, and where what is not goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import saima
from cli.new import scaffold
from saima.settings import settings


@pytest.fixture
def algorithms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    settings.cache_clear()
    scaffold(tmp_path / "algorithms" / "parcel_time", "parcel_time")
    yield tmp_path / "algorithms"
    settings.cache_clear()


def test_a_good_declaration(algorithms: Path) -> None:
    for arguments in (["check"], ["check", "parcel_time"], ["check", "declaration", "parcel_time"]):
        ran = CliRunner().invoke(saima, arguments)
        assert ran.exit_code == 0, ran.output
        assert "ok parcel_time: 7 features, 1 model, 1 lineage, 0 experiments" in ran.output


def test_an_error_has_file_line_and_column_and_the_rest_is_still_checked(algorithms: Path) -> None:
    scaffold(algorithms / "second", "second")
    path = algorithms / "parcel_time" / "algorithm.yaml"
    path.write_text(path.read_text().replace("log1p(amount)", "log1q(amount)"))
    ran = CliRunner().invoke(saima, ["check"])
    assert ran.exit_code == 1
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "log1q" in text)
    assert f"algorithms/parcel_time/algorithm.yaml:{line}:" in ran.output
    assert "did you mean 'log1p'" in ran.output
    assert "ok second" in ran.output


def test_an_experiment_is_checked_too(algorithms: Path) -> None:
    folder = algorithms / "parcel_time" / "experiments"
    folder.mkdir()
    (folder / "wrong.yaml").write_text(json.dumps({"experiment": "wrong", "layer": "model", "arms": {}}))
    ran = CliRunner().invoke(saima, ["check", "parcel_time"])
    assert ran.exit_code == 1
    assert "wrong.yaml" in ran.output


def test_parity_without_a_journal_says_what_to_do(algorithms: Path) -> None:
    ran = CliRunner().invoke(saima, ["check", "parity", "parcel_time"])
    assert ran.exit_code == 1
    assert "there is no journal of 'parcel_time'" in ran.output


def test_explain_shows_stages_and_lineage(algorithms: Path) -> None:
    ran = CliRunner().invoke(saima, ["explain", "parcel_time"])
    assert ran.exit_code == 0, ran.output
    for text in ("stage 0 [request]", "lineage", "ratio <- request.amount, recent.mean_24h"):
        assert text in ran.output
