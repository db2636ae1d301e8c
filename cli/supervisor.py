"""Long-lived processes as a group: start, watch, restart with the fact shown, stop cleanly."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_STEADY_SECONDS = 30.0


@dataclass(frozen=True)
class Program:
    """A process to keep alive: its name, arguments, and the environment it gets on top of ours."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15.0


@dataclass
class Child:
    """A running program and how often it had to be started again."""

    program: Program
    process: subprocess.Popen[bytes]
    started: float
    restarts: int = 0
    last_exit: str = ""


class Supervisor:
    """Keeps programs alive until `stop`; every start, exit and restart is told to `say`."""

    def __init__(self, logs: Path, directory: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._directory = directory
        self._say = say
        self._children: dict[str, Child] = {}
        logs.mkdir(parents=True, exist_ok=True)

    @property
    def children(self) -> dict[str, Child]:
        """Children by program name."""
        return dict(self._children)

    def start(self, program: Program) -> Child:
        """Start a program; its output goes to `<logs>/<name>.log`."""
        child = Child(program, self._spawn(program), time.monotonic())
        self._children[program.name] = child
        return child

    def watch(self) -> list[str]:
        """Restart every child that has ended, at most once a second each; returns the names restarted."""
        restarted = []
        for name, child in self._children.items():
            code = child.process.poll()
            if code is None or time.monotonic() - child.started < min(1.0 * 2**child.restarts, 10.0):
                continue
            lived = time.monotonic() - child.started
            child.last_exit = describe_exit(code)
            child.restarts = 1 if lived > _STEADY_SECONDS else child.restarts + 1
            child.process = self._spawn(child.program)
            child.started = time.monotonic()
            restarted.append(name)
            self._say(
                f"{name} {child.last_exit} after {lived:.0f} s and was restarted "
                f"(pid {child.process.pid}); its last words are in {self.log(name)}"
            )
        return restarted

    def log(self, name: str) -> Path:
        """File that holds the program's output."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """Last lines of a program's output."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self) -> None:
        """Ask every child to end, newest first; those that do not end in time are killed with what they started."""
        for child in reversed(list(self._children.values())):
            _terminate(child)
        self._children.clear()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        with self.log(program.name).open("ab") as output:
            return subprocess.Popen(
                list(program.arguments),
                cwd=self._directory,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_fresh_signals,
            )


def describe_exit(code: int) -> str:
    """An exit code in words.

    >>> describe_exit(-9)
    'was killed by SIGKILL'
    """
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _fresh_signals() -> None:
    """The child must not inherit an ignored SIGTERM, and must end when the supervisor is killed."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _terminate(child: Child) -> None:
    process = child.process
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.send_signal(child.program.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(child.program.stop_seconds)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    if process.poll() is None:
        process.kill()
        process.wait()
