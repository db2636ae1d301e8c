"""A scaffolded algorithm validates, explains itself and passes its own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import saima
from cli.new import scaffold
from saima.features import load


def test_the_scaffold_passes_its_own_tests(tmp_path: Path) -> None:
    folder = tmp_path / "algorithms" / "parcel_time"
    scaffold(folder, "parcel_time")
    assert load(folder).declaration.algorithm == "parcel_time"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


@pytest.mark.parametrize("name", ["Bad", "1st", "a-b", "shared", "parity", "../up", "x" * 60, ""])
def test_a_name_that_is_none(name: str) -> None:
    ran = CliRunner().invoke(saima, ["new", name])
    assert ran.exit_code == 2
    assert "is not a name of an algorithm" in ran.output


def test_nothing_is_overwritten() -> None:
    ran = CliRunner().invoke(saima, ["new", "flight_delay"])
    assert ran.exit_code == 1
    assert "exists; choose another name" in ran.output
