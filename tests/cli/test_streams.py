"""`saima streams`."""

from __future__ import annotations

from click.testing import CliRunner

from cli.main import saima


def test_explain_says_what_the_aggregates_of_all_algorithms_share() -> None:
    found = CliRunner().invoke(saima, ["streams", "explain"])
    assert found.exit_code == 0, found.output
    first, *lines = found.output.splitlines()
    assert first.endswith("states")
    assert any(line.startswith("tile/") for line in lines)
    assert any("flight_delay." in line for line in lines)
