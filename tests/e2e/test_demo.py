"""The loop as a stranger runs it: the demo with its kills passes, and with a planted fault it fails for that reason."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
SAIMA = str(Path(sys.executable).with_name("saima"))


def demo(home: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    environment = {**os.environ, "SAIMA_HOME": str(home)}
    done = subprocess.run([SAIMA, "demo", *options], env=environment, capture_output=True, text=True, check=False)
    summary = home / "demo" / "summary.json"
    return done, json.loads(summary.read_text()) if summary.exists() else {}


def prove(done: subprocess.CompletedProcess[str], found: dict[str, Any]) -> None:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert found["failures"] == []
    assert found["predictions"] > 0
    assert found["restarts"]["worker-0"] == 1
    assert found["answers"] == found["journalled"]
    assert found["samples"] == found["samples_expected"] > 0
    assert found["feature_parity"]["mismatches"] == 0
    assert found["naive_program"]["rows"] > 0
    assert found["handover"]["mismatches"] == 0
    assert found["handover"]["keys"] > 0
    assert found["swaps"] >= 1


def test_three_days_with_kills_prove_themselves(tmp_path: Path) -> None:
    prove(*demo(tmp_path, "--days", "3"))


@pytest.mark.full
def test_two_weeks_with_kills_prove_themselves(tmp_path: Path) -> None:
    done, found = demo(tmp_path, "--days", "14")
    prove(done, found)
    assert found["predictions"] > 12_000


@pytest.mark.full
def test_half_a_day_of_rankings_with_kills_proves_itself(tmp_path: Path) -> None:
    """Every impression becomes a negative, every click corrects one, under another algorithm's features and label."""
    done, found = demo(tmp_path, "fashion_ranking", "--days", "0.5")
    prove(done, found)
    assert found["predictions"] > 1_500
    assert found["feature_parity"]["features"] >= 40
    assert found["samples"] > found["predictions"] * 0.95  # the last ones may still be clicked


@pytest.mark.full
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("parity", "mismatches in"), ("leak", "differ from the naive program"), ("journal", "samples_lost is")],
)
def test_a_planted_fault_fails(tmp_path: Path, fault: str, reason: str) -> None:
    done, found = demo(tmp_path, "--days", "1", "--no-kills", "--fault", fault)
    assert done.returncode != 0
    assert any(reason in failure for failure in found["failures"]), found["failures"]
