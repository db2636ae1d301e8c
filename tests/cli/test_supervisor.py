"""A supervised process is restarted with the fact shown, and stopped with everything that it started."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli.supervisor import Program, Supervisor, describe_exit


def wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path / "logs", tmp_path, said.append)
    yield found
    found.stop()


def script(body: str) -> list[str]:
    return [sys.executable, "-c", body]


def test_a_killed_process_is_restarted_and_the_fact_is_said(supervisor: Supervisor, said: list[str]) -> None:
    child = supervisor.start(Program("sleeper", script("import time; print('up', flush=True); time.sleep(60)")))
    first = child.process.pid
    wait(lambda: "up" in supervisor.tail("sleeper"))
    os.kill(first, signal.SIGKILL)
    wait(lambda: supervisor.watch() == ["sleeper"])
    assert child.process.pid != first
    assert child.restarts == 1
    assert "sleeper was killed by SIGKILL" in said[0]
    assert "sleeper.log" in said[0]


def test_stop_ends_the_children_of_a_child_too(supervisor: Supervisor) -> None:
    body = (
        "import subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(inner.pid, flush=True); time.sleep(60)"
    )
    supervisor.start(Program("parent", script(body)))
    wait(lambda: supervisor.tail("parent").strip().isdigit())
    inner = int(supervisor.tail("parent"))
    supervisor.stop()
    wait(lambda: not psutil.pid_exists(inner) or psutil.Process(inner).status() == psutil.STATUS_ZOMBIE)


def test_a_child_that_ignores_the_request_is_killed(supervisor: Supervisor) -> None:
    body = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = supervisor.start(Program("deaf", script(body), stop_seconds=0.2))
    wait(lambda: "up" in supervisor.tail("deaf"))
    process = child.process
    supervisor.stop()
    assert process.poll() == -signal.SIGKILL


def test_exit_codes_in_words() -> None:
    assert describe_exit(-signal.SIGTERM) == "was killed by SIGTERM"
    assert describe_exit(3) == "ended with exit code 3"
