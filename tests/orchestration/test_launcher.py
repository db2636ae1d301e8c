"""Runs forked from the server: executed, crashed, cancelled, never with old code, and none left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher.base import LaunchRunContext

from orchestration.forkserver import LONGEST, address
from orchestration.launcher import PROCESS, connect
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
    shutil.copytree(Path(__file__).with_name("shop"), tmp_path / "algorithms" / "shop")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings.cache_clear()
    with dg.DagsterInstance.get() as found:
        yield found
    settings.cache_clear()


@pytest.fixture
def server(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    path = address(tmp_path / "dagster")
    assert path is not None, "pytest's folder has a short path"
    process = subprocess.Popen([sys.executable, "-m", "orchestration.forkserver", "json"], cwd=ROOT)
    until(lambda: path.is_socket() or process.poll() is not None)
    assert process.poll() is None
    yield process
    process.terminate()
    process.wait(60)


def launch(instance: dg.DagsterInstance, tmp_path: Path, **tags: str) -> str:
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    recon = ReconstructableRepository.for_module("waiting_definitions", "defs", str(tmp_path))
    job = recon.get_reconstructable_job("waiting")
    run = instance.create_run_for_job(job.get_definition(), tags=tags, job_code_origin=job.get_python_origin())
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


def process(instance: dg.DagsterInstance, run_id: str) -> psutil.Process:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return psutil.Process(int(run.tags[PROCESS].partition("/")[0]))


def slow(instance: dg.DagsterInstance, tmp_path: Path) -> str:
    run_id = launch(instance, tmp_path, slow="yes")
    until(lambda: status(instance, run_id) == dg.DagsterRunStatus.STARTED)
    return run_id


def gone(found: psutil.Process) -> bool:
    return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE


def test_runs_go_crash_and_stop(instance: dg.DagsterInstance, server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    first = launch(instance, tmp_path)
    until(lambda: status(instance, first) == dg.DagsterRunStatus.SUCCESS)

    cancelled, crashed = slow(instance, tmp_path), slow(instance, tmp_path)
    assert process(instance, cancelled).ppid() == server.pid
    assert instance.run_launcher.terminate(cancelled)
    until(lambda: status(instance, cancelled) == dg.DagsterRunStatus.CANCELED)
    assert status(instance, crashed) == dg.DagsterRunStatus.STARTED
    run = process(instance, crashed)
    steps = run.children(recursive=True)
    run.kill()
    until(lambda: status(instance, crashed) == dg.DagsterRunStatus.FAILURE)
    until(lambda: all(map(gone, steps)))


def test_runs_end_with_the_server(
    instance: dg.DagsterInstance, server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    run_id = slow(instance, tmp_path)
    child = process(instance, run_id)
    server.send_signal(signal.SIGKILL)
    until(lambda: gone(child))
    until(lambda: instance.get_run_by_id(run_id).is_finished)  # type: ignore[union-attr]


def test_runs_end_with_their_launcher(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from dagster import DagsterInstance;"
        "from tests.orchestration.test_launcher import slow, process\n"
        "with DagsterInstance.get() as instance:\n"
        "    print(process(instance, slow(instance, Path(sys.argv[1]))).pid, flush=True); os._exit(9)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout, found.stderr
    child = int(found.stdout)
    until(lambda: not psutil.pid_exists(child) or gone(psutil.Process(child)))


def test_a_server_with_old_code_takes_no_run_and_ends(
    instance: dg.DagsterInstance, server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "algorithms" / "shop" / "new.txt").write_text("changed\n")
    assert connect(tmp_path / "dagster") is None
    assert server.wait(60) == 0
    assert connect(tmp_path / "dagster") is None


def test_the_socket_is_for_its_user_alone(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    path = address(tmp_path / "dagster")
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    assert address(Path("/" + "x" * LONGEST)) is None
