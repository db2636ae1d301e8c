"""The real host for the benchmark: `bentoml serve` of one worker, on a core of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


def cores() -> tuple[set[int], set[int]]:
    """A core for what is measured and one for who measures; the same where there is but one."""
    held = sorted(os.sched_getaffinity(0))
    return {held[0]}, {held[-1]}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], core: set[int], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process, and all that it starts, on a core; ended with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=out, stderr=out, start_new_session=True
        )
        os.sched_setaffinity(process.pid, core)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def host(home: Path, core: set[int]) -> Iterator[str]:
    """Address of a host that serves the home's deployment with one worker."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "serving.bentos.host.service:Host",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    variables = {"SAIMA_HOME": str(home), "SAIMA_ALGORITHMS": str(home / "algorithms"), "SAIMA_HOST_WORKERS": "1",
                 "BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "true",
                 "SAIMA_FSYNC": "false"}  # fmt: skip
    with started(command, core, home / "host.log", **variables) as process:
        url = f"http://127.0.0.1:{port}"
        wait(lambda: _ready(url, process), 120, home / "host.log")
        yield url


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError("the server has ended")
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def wait(condition: Any, seconds: float, log: Path) -> None:
    """Until a condition holds. Raises TimeoutError with the end of a log."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(log.read_text("utf-8", "replace")[-2000:])
        time.sleep(0.05)


def status(url: str) -> dict[str, Any]:
    """What the worker says of itself."""
    found: dict[str, Any] = httpx.get(f"{url}/v1/status", timeout=20, trust_env=False).json()["host"]
    return found
