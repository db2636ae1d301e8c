"""A bundle served by `bentoml serve`, with nothing of the house around it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import polars as pl
import pytest

from saima.host.bundle import Bundle
from saima.stores.interfaces import BundleRow


@pytest.mark.e2e
def test_a_bento_serves_alone(row: BundleRow, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAIMA_", "BENTOML_"))}
    environment |= {"BENTOML_HOME": str(Path(row.path).parents[2]), "BENTOML_DO_NOT_TRACK": "True"}
    command = [
        str(Path(sys.executable).parent / "bentoml"),
        "serve",
        row.tag,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            await_ready(client, process, tmp_path / "serve.log")
            body = {"algorithm": "small", "trace": "one", "request": {"x": 1.0, "y": 2.0, "colour": "red"}}
            answer = client.post("/v1/predict", json=body).raise_for_status().json()
        expected = Bundle.open(row.path).score(pl.DataFrame({"sum": [3.0], "big": [0]})).score
        assert answer["scores"] == pytest.approx(expected.tolist(), rel=1e-6)
        assert (answer["trace"], answer["lineage"]) == ("one", "trees")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def await_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the service is not ready:\n{log.read_text()}")
