"""What must hold before anything starts: one instance, free ports, room on the disk, the data in place."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

_ROOM = 2 * 1024**3


@contextmanager
def only_instance(home: Path) -> Iterator[None]:
    """Hold the home's lock; a second `up` or `demo` on it is told who holds it."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise click.ClickException(
                f"Saima already runs on {home} (pid {holder}). Stop it with Ctrl-C in its terminal, "
                "or give this one a home of its own: SAIMA_HOME=/some/folder make up"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def check_ports(ports: dict[str, int]) -> None:
    """Refuse ports that are taken; `ports` maps the variable that sets one to its number."""
    for variable, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise click.ClickException(
                    f"port {port} is in use{_holder(port)}. "
                    f"Free it, or choose another: {variable}={port + 1000} make up"
                ) from None


def check_disk(home: Path) -> None:
    """Refuse a disk with less than 2 GiB left."""
    free = shutil.disk_usage(home).free
    if free < _ROOM:
        raise click.ClickException(
            f"{home} has {free / 1024**3:.1f} GiB left on its disk and 2 GiB are needed. "
            "Make room, or set SAIMA_HOME to a folder on another disk"
        )


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port
        if listens and connection.pid:
            return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
