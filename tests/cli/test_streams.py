"""`saima streams`."""

from __future__ import annotations

from click.testing import CliRunner

from cli.main import saima
from saima.settings import Settings
from saima.worker.catalog import catalog, declared


def test_explain_says_what_the_aggregates_of_all_algorithms_share() -> None:
    found = CliRunner().invoke(saima, ["streams", "explain"])
    assert found.exit_code == 0, found.output
    first, *lines = found.output.splitlines()
    assert first.endswith("states")
    assert any(line.startswith("tile/") for line in lines)
    assert any("flight_delay." in line for line in lines)


def test_explain_names_the_tables_that_the_worker_keeps() -> None:
    found = CliRunner().invoke(saima, ["streams", "explain"])
    named = {line.split()[0] for line in found.output.splitlines() if line.startswith("tile/")}
    assert named == set(catalog(declared(Settings().algorithms)).groups)
