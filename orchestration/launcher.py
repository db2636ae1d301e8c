"""A run launcher that keeps a process in waiting for jobs where every second counts.

A run is a new process, and importing Dagster, the definitions and the libraries of its models takes longer than the
retrain itself. A job that names modules in the tag `saima/warm` gets a process that has imported them before: when a
run is launched it takes the waiting one, and when that run has ended the next one is made ready. All other jobs are
launched as Dagster does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.launcher.base import LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from saima.settings import ROOT, settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

WARM = "saima/warm"
"""Tag of a job: modules, separated by spaces, that its processes import while they wait."""

PROCESS = "saima/process"
"""Tag of a run: pid and start time of its process, by which any process of Dagster can end it."""

_WATCHED = ("saima", "assets", "orchestration", "serving", "expectations", "ab")


class StandbyRunLauncher(DefaultRunLauncher):
    """Launches runs of warm jobs in processes that have been waiting for them."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(inst_data)
        self._waiting: dict[str, Standby] = {}
        self._lock = threading.Lock()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to a waiting process, or to a new one where none waits or the code has changed since."""
        run = context.dagster_run
        modules = run.tags.get(WARM)
        if not modules or run.job_code_origin is None:
            super().launch_run(context)
            return
        standby = self._take(modules)
        self._instance.add_run_tags(run.run_id, {PROCESS: standby.identity})
        standby.hand_over(run, self._instance)
        threading.Thread(target=self._follow, args=(standby, run.run_id, modules), daemon=True).start()

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to stop, from whichever process of Dagster this is."""
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished or PROCESS not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        process = _process(run.tags[PROCESS])
        if process is None:
            self._instance.report_run_canceled(run, message="its process had ended already")
            return True
        process.send_signal(signal.SIGTERM)
        return True

    def _take(self, modules: str) -> Standby:
        with self._lock:
            standby = self._waiting.pop(modules, None)
        if standby is not None and standby.usable:
            return standby
        if standby is not None:
            standby.dismiss()
        return Standby(modules)

    def _follow(self, standby: Standby, run_id: str, modules: str) -> None:
        """Wait for the run's end, record a crash, and make the next process ready."""
        code = standby.wait()
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_failed(run, f"its process ended with exit code {code}")
        with self._lock:
            if modules not in self._waiting:
                self._waiting[modules] = Standby(modules)


class Standby:
    """A process that imports modules, waits for one run, executes it and ends; it ends unused when its parent does."""

    def __init__(self, modules: str) -> None:
        self._code = fingerprint()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "orchestration.standby", *modules.split()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
        )

    @property
    def identity(self) -> str:
        """Pid and start time."""
        return f"{self._child.pid}/{psutil.Process(self._child.pid).create_time():.2f}"

    @property
    def usable(self) -> bool:
        """Whether it is alive and the code is as it was when it started."""
        return self._child.poll() is None and self._code == fingerprint()

    def hand_over(self, run: DagsterRun, instance: DagsterInstance) -> None:
        """Give it a run to execute."""
        origin = run.job_code_origin
        assert origin is not None
        arguments = ExecuteRunArgs(origin, run.run_id, instance.get_ref())
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(serialize_value(arguments)) + "\n")
        self._child.stdin.flush()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self._child.wait()

    def dismiss(self) -> None:
        """Let it go unused."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait()


def fingerprint() -> tuple[int, int]:
    """Number and newest change of the files that a run's code and declarations come from."""
    folders = [*(ROOT / name for name in _WATCHED), settings().algorithms]
    changes = [
        (Path(folder) / name).stat().st_mtime_ns
        for root in folders
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith((".py", ".yaml", ".txt"))
    ]
    return len(changes), max(changes, default=0)


def _process(identity: str) -> psutil.Process | None:
    """The process of a run's tag, if it is still the same one."""
    pid, _, started = identity.partition("/")
    try:
        process = psutil.Process(int(pid))
        return process if f"{process.create_time():.2f}" == started else None
    except psutil.Error:
        return None
