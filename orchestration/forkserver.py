"""The process that Dagster's runs are forked from: `python -m orchestration.forkserver`.

A run is a process, and importing Dagster, the definitions and the libraries of models and reports costs more CPU than
a refresh itself. This process imports them once, listens on a socket in Dagster's home and forks a child for every run
that the launcher hands over; the child shares what is imported. It computes nothing itself, so no thread pool exists
when it forks. One line of JSON each way at a time:

    server: {"ready": true}
    launcher: {"nice": 0, "arguments": "what `dagster api execute_run` takes"}
    server: {"pid": 7, "started": 1789.25}, and when it has ended: {"exit": 0}

A launcher that goes away takes its runs with it. Once the code has changed the server takes no more runs and ends after
its last one; its supervisor starts it anew.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from saima.priority import give_way
from saima.settings import ROOT, settings

LONGEST = 100
"""Longest path of a socket that every system takes, bytes."""

_WATCHED = ("saima", "assets", "orchestration", "serving", "expectations", "ab")
_LIBRARIES = ("bentoml", "deltalake", "great_expectations", "matplotlib.figure", "tea_tasting")
_PARTS = ("ab.report.assembly", "ab.report.page", "saima.features.backfill", "saima.features.parity", "serving.bundles")
_PARENT_SECONDS = 1.0

_AGAIN_SECONDS, _KILL_SECONDS = 3.0, 60.0
"""A run that is to end is asked this often, since a signal may go under while a step starts, then killed."""


def address(home: Path) -> Path | None:
    """Socket of a Dagster home; None where its path is too long for one."""
    path = home / "forkserver.sock"
    return path if len(os.fsencode(path)) <= LONGEST else None


def modules() -> list[str]:
    """What runs of the algorithms under the settings' folder import."""
    from assets.factory import all_assets

    kinds = {
        model.kind for each in all_assets(settings().algorithms) for model in each.algorithm.declaration.models.values()
    }
    return [*_LIBRARIES, *_PARTS, *sorted(kinds & {"lightgbm", "tensorflow", "xgboost"})]


def warm(names: Sequence[str]) -> None:
    """Import the definitions and the named modules."""
    from dagster._cli.api import execute_run_command  # noqa: F401 - what every run starts with

    from orchestration.definitions import defs

    defs.get_repository_def()
    for name in names:
        importlib.import_module(name)


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


class ForkServer:
    """Forks a child for every run that a launcher hands over, and tells it how the child ended."""

    def __init__(self, path: Path, code: tuple[int, int]) -> None:
        """Listen on a socket that only this user can open; `code` is the fingerprint of what was imported."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._path, self._code = path, code
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, socket.socket] = {}
        self._ending: dict[int, tuple[float, float]] = {}
        self._listener: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the code changes or a signal comes; then wait for the children."""
        with _wakeup() as woken:
            self._selector.register(woken, selectors.EVENT_READ)
            while self._listener or self._children:
                for key, _ in self._selector.select(_AGAIN_SECONDS if self._ending else None):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is woken:
                        woken.recv(4096)
                    elif isinstance(key.fileobj, socket.socket):
                        self._read(key.fileobj)
                self._reap()
                self._insist()

    def stop(self) -> None:
        """Take no more runs and end those that there are."""
        self._retire()
        for pid in self._children:
            self._end(pid)

    def _end(self, pid: int) -> None:
        """Ask a child to end, now and until it has."""
        now = time.monotonic()
        self._ending.setdefault(pid, (now, now))
        os.kill(pid, signal.SIGTERM)

    def _insist(self) -> None:
        now = time.monotonic()
        self._ending = {pid: times for pid, times in self._ending.items() if pid in self._children}
        for pid, (first, last) in list(self._ending.items()):  # a signal may add to them
            if now - last >= _AGAIN_SECONDS:
                os.kill(pid, signal.SIGTERM if now - first < _KILL_SECONDS else signal.SIGKILL)
                self._ending[pid] = (first, now)

    def _retire(self) -> None:
        if self._listener is None:
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = None
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        connection, _ = self._listener.accept()
        if fingerprint() != self._code:
            connection.close()
            self._retire()
            return
        self._tell(connection, {"ready": True})
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        """Arguments of a run, or the end of a launcher."""
        child = next((pid for pid, held in self._children.items() if held is connection), None)
        with connection.makefile("r") as lines:
            line = lines.readline() if child is None else ""
        if line.endswith("\n"):
            self._fork(connection, **json.loads(line))
            return
        self._selector.unregister(connection)
        if child is None:
            connection.close()
        else:
            self._end(child)

    def _fork(self, connection: socket.socket, nice: int, arguments: str) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(nice, arguments)
        self._children[pid] = connection
        self._tell(connection, {"pid": pid, "started": psutil.Process(pid).create_time()})

    def _become(self, nice: int, arguments: str) -> None:
        """Execute the run in this child and end."""
        parent = os.getppid()
        os.setsid()  # a run has a share of the CPU of its own
        give_way(nice)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for held in self._children.values():
            held.close()
        self._selector.close()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        code = 1
        try:
            code = execute(arguments, parent)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(ProcessLookupError):  # the steps of a run that was killed do not outlive it
                os.killpg(pid, signal.SIGKILL)
            connection = self._children.pop(pid)
            self._tell(connection, {"exit": os.waitstatus_to_exitcode(status)})
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            connection.close()

    @staticmethod
    def _tell(connection: socket.socket, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(message).encode() + b"\n")


def execute(arguments: str, parent: int) -> int:
    """Run Dagster's own command on the arguments, cancelled when the parent process has gone; its exit code."""
    import numpy as np
    from dagster._cli.api import execute_run_command

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_AGAIN_SECONDS)

    threading.Thread(target=watch, daemon=True).start()
    np.random.seed()  # the state is the server's; every child would draw the same numbers
    assert execute_run_command.callback is not None
    try:
        execute_run_command.callback(arguments, None)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@contextlib.contextmanager
def _wakeup() -> Iterator[socket.socket]:
    """A socket that becomes readable on every signal."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        reader.close()
        writer.close()


def main() -> None:
    """Entry of the process."""
    path = address(Path(os.environ.get("DAGSTER_HOME") or settings().home / "dagster"))
    if path is None:
        sys.exit(f"the path of {settings().home} is too long for a socket; set SAIMA_HOME to one of under 70 letters")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    code = fingerprint()
    warm(sys.argv[1:] or modules())
    server = ForkServer(path, code)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.serve()


if __name__ == "__main__":
    main()
