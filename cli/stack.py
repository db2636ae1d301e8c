"""The processes of one running Saima and the environment that they share."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cli.supervisor import Program
from saima.settings import ROOT, Settings


def environment(settings: Settings, fault: str = "") -> dict[str, str]:
    """Variables that every process of the stack gets; `fault` plants a drill's fault."""
    values = {
        "SAIMA_HOME": str(settings.home),
        "SAIMA_ALGORITHMS": str(settings.algorithms),
        "SAIMA_DATASETS": str(settings.datasets),
        "SAIMA_HOST_WORKERS": str(settings.host_workers),
        "SAIMA_SHARDS": str(settings.shards),
        "SAIMA_DAGSTER_URL": f"http://127.0.0.1:{settings.dagster_port}",
        "DAGSTER_HOME": str(settings.home / "dagster"),
        "BENTOML_HOME": str(settings.home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    if fault:
        values["SAIMA_FAULT"] = fault
    return values


def prepare(settings: Settings) -> None:
    """Create the folders and Dagster's instance file, so that every process finds its home."""
    for name in ("dagster", "bentoml", "logs", "spool", "client"):
        (settings.home / name).mkdir(parents=True, exist_ok=True)
    instance = ROOT / "orchestration" / "dagster.yaml"
    (settings.home / "dagster" / "dagster.yaml").write_text(instance.read_text())


def dagster(settings: Settings, variables: dict[str, str]) -> Program:
    """Webserver and daemon."""
    arguments = [_tool("dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(settings.dagster_port)]
    return Program("dagster", arguments, variables, signal.SIGINT, stop_seconds=20)


def forkserver(variables: dict[str, str]) -> Program:
    """The process that Dagster's runs are forked from."""
    return Program("forkserver", [sys.executable, "-m", "orchestration.forkserver"], variables)


def worker(shard: int, variables: dict[str, str]) -> Program:
    """One shard of the stream worker, by the name `worker-<shard>`."""
    return Program(f"worker-{shard}", [sys.executable, "-m", "saima.worker", "--shard", str(shard)], variables)


def host(settings: Settings, variables: dict[str, str]) -> Program:
    """The algorithm host with its worker processes."""
    arguments = [
        _tool("bentoml"),
        "serve",
        "serving.bentos.host.service:Host",
        "--host",
        "127.0.0.1",
        "--port",
        str(settings.host_port),
    ]
    return Program("host", arguments, variables)


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)
