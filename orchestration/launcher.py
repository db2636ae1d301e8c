"""A run launcher that hands runs to the fork server, which has imported what they need.

Without a fork server in Dagster's home, as under a plain `dagster dev`, runs are launched as Dagster does it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.launcher.base import LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from orchestration.forkserver import address

if TYPE_CHECKING:
    from dagster import DagsterInstance

PROCESS = "saima/process"
"""Tag of a run: pid and start time of its process, by which any process of Dagster can end it."""

NICE = "saima/nice"
"""Tag of a run that gives way to what answers and retrains: the niceness of its process, 1 to 19."""

_READY_SECONDS = 5.0
_GONE_SECONDS = 60.0


class ForkingRunLauncher(DefaultRunLauncher):
    """Launches runs by forking a process that has imported everything."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to the fork server, or launch it as Dagster does where none answers."""
        run = context.dagster_run
        line = connect(Path(self._instance.root_directory)) if run.job_code_origin is not None else None
        if line is None:
            super().launch_run(context)
            return
        identity = line.hand_over(run, self._instance)
        if identity:
            self._instance.add_run_tags(run.run_id, {PROCESS: identity})
        keeper = weakref.ref(self._instance)
        threading.Thread(target=_follow, args=(line, run.run_id, identity, keeper), daemon=True).start()

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


class Line:
    """A connection to the fork server; it carries one run."""

    def __init__(self, connection: socket.socket) -> None:
        """Made by `connect`."""
        self._connection = connection
        self._lines = connection.makefile("r")

    def hand_over(self, run: DagsterRun, instance: DagsterInstance) -> str:
        """Give the server a run to execute; pid and start time of its process, "" if the server has gone meanwhile."""
        assert run.job_code_origin is not None
        arguments = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref())
        order = {"nice": int(run.tags.get(NICE, 0)), "arguments": serialize_value(arguments)}
        try:
            self._connection.sendall(json.dumps(order).encode() + b"\n")
            told = json.loads(self._lines.readline() or "{}")
        except OSError:
            return ""
        return f"{told['pid']}/{told['started']:.2f}" if told else ""

    def wait(self) -> int | None:
        """Wait for the run's end: the exit code of its process, None if the server has gone."""
        try:
            told = json.loads(self._lines.readline() or "{}")
        except OSError:
            told = {}
        self._connection.close()
        return int(told["exit"]) if told else None


def connect(home: Path) -> Line | None:
    """A line to the fork server of a Dagster home; None where none answers, or where it has old code."""
    path = address(home)
    if path is None or not path.is_socket() or path.stat().st_uid != os.getuid():
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_READY_SECONDS)
    try:
        connection.connect(str(path))
        line = Line(connection)
        ready = line._lines.readline()
    except OSError:
        connection.close()
        return None
    if not ready:
        connection.close()
        return None
    connection.settimeout(None)
    return line


def _follow(line: Line, run_id: str, identity: str, keeper: weakref.ref[DagsterInstance]) -> None:
    """Wait for a run's end and record a crash, unless Dagster's instance has ended in this process meanwhile."""
    code = line.wait()
    if code is None:  # the server has gone; its child ends by itself when it sees that
        deadline = time.monotonic() + _GONE_SECONDS
        while identity and _process(identity) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
    instance = keeper()
    run = instance.get_run_by_id(run_id) if instance is not None else None
    if instance is None or run is None or run.is_finished:
        return
    how = "with the fork server" if code is None else f"with exit code {code}"
    instance.report_run_failed(run, f"its process ended {how}")


def _process(identity: str) -> psutil.Process | None:
    """The process of a run's tag, if it is still the same one."""
    pid, _, started = identity.partition("/")
    try:
        process = psutil.Process(int(pid))
        return process if f"{process.create_time():.2f}" == started else None
    except psutil.Error:
        return None
