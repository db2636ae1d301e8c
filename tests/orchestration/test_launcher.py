"""Runs in waiting processes: executed, crashed, cancelled, and never with old code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher.base import LaunchRunContext

from orchestration.launcher import PROCESS, WARM, Standby, StandbyRunLauncher
from saima.settings import ROOT, settings

SLOW = """
import time
import dagster as dg

@dg.op
def work(context):
    if context.run.tags.get("slow"):
        time.sleep(600)

@dg.job
def waiting():
    work()

defs = dg.Definitions(jobs=[waiting])
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "orchestration" / "dagster.yaml").read_text())
    (tmp_path / "waiting_definitions.py").write_text(SLOW)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings.cache_clear()
    with dg.DagsterInstance.get() as found:
        yield found
    settings.cache_clear()


def launch(instance: dg.DagsterInstance, tmp_path: Path, **tags: str) -> str:
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    recon = ReconstructableRepository.for_module("waiting_definitions", "defs", str(tmp_path))
    job = recon.get_reconstructable_job("waiting")
    run = instance.create_run_for_job(
        job.get_definition(), tags={WARM: "json", **tags}, job_code_origin=job.get_python_origin()
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, None))
    return run.run_id


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def pid(instance: dg.DagsterInstance, run_id: str) -> int:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return int(run.tags[PROCESS].partition("/")[0])


def waiting(instance: dg.DagsterInstance) -> Standby:
    launcher = instance.run_launcher
    assert isinstance(launcher, StandbyRunLauncher)
    until(lambda: "json" in launcher._waiting)
    return launcher._waiting["json"]


def test_runs_go_crash_and_stop_in_processes_that_waited(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    first = launch(instance, tmp_path)
    until(lambda: status(instance, first) == dg.DagsterRunStatus.SUCCESS)
    ready = waiting(instance).identity

    slow = launch(instance, tmp_path, slow="yes")
    run = instance.get_run_by_id(slow)
    assert run is not None
    assert run.tags[PROCESS] == ready, "the process that was waiting has the run"
    until(lambda: status(instance, slow) == dg.DagsterRunStatus.STARTED)
    assert instance.run_launcher.terminate(slow)
    until(lambda: status(instance, slow) == dg.DagsterRunStatus.CANCELED)

    waiting(instance)
    crashed = launch(instance, tmp_path, slow="yes")
    until(lambda: status(instance, crashed) == dg.DagsterRunStatus.STARTED)
    os.kill(pid(instance, crashed), signal.SIGKILL)
    until(lambda: status(instance, crashed) == dg.DagsterRunStatus.FAILURE)
    waiting(instance).dismiss()


def test_a_process_with_old_code_is_not_used(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "algorithms"
    root.mkdir()
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(root))
    settings.cache_clear()
    standby = Standby("json")
    assert standby.usable
    (root / "algorithm.yaml").write_text("algorithm: changed\n")
    assert not standby.usable
    standby.dismiss()


def test_a_waiting_process_ends_with_its_parent(tmp_path: Path) -> None:
    """However the parent ends; a run that it has is cancelled, which the test of cancelling shows."""
    code = "from orchestration.launcher import Standby; import os; "
    code += "print(Standby('json').identity, flush=True); os._exit(9)"
    import subprocess

    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "SAIMA_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text((ROOT / "orchestration" / "dagster.yaml").read_text())
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    child = int(found.stdout.partition("/")[0])
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
