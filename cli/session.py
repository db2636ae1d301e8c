"""One running Saima: the processes, the first materialization, and the recorded traffic against them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import click
import httpx

from cli import stack
from cli.replay import Replayer, Traffic
from cli.supervisor import Supervisor
from saima.errors import SaimaError
from saima.features import load
from saima.settings import ROOT, Settings
from saima.stores import open_log, open_reader, open_registry, open_tables
from saima.stores.interfaces import EventLog

_READY_SECONDS = 180.0


class Session:
    """Processes and stores of a run; `say` receives what a person should know."""

    def __init__(self, settings: Settings, algorithm: str, say: Callable[[str], None], fault: str = "") -> None:
        self.settings = settings
        self.algorithm = algorithm
        self.fault = fault
        self._say = say
        self.variables = stack.environment(settings, fault)
        stack.prepare(settings)
        os.environ.update({name: self.variables[name] for name in ("SAIMA_HOME", "DAGSTER_HOME", "BENTOML_HOME")})
        self.supervisor = Supervisor(settings.home / "logs", ROOT, say)
        self.registry = open_registry(settings)
        self.tables = open_tables(settings)
        self.log = open_log(settings)

    @property
    def host_url(self) -> str:
        """Address of the algorithm host."""
        return f"http://127.0.0.1:{self.settings.host_port}"

    @property
    def dagster_url(self) -> str:
        """Address of Dagster's UI."""
        return f"http://127.0.0.1:{self.settings.dagster_port}"

    @property
    def bootstrapped(self) -> bool:
        """Whether history has been materialized and what is routed was built for the feature plan of this code."""
        if self.registry.fact(f"bootstrapped/{self.algorithm}") is None:
            return False
        plan = load(self.algorithm, self.settings.algorithms).plan.hash
        document = self.registry.deployment().document
        lineages = document.get("algorithms", {}).get(self.algorithm, {}).get("lineages", {})
        routed = [lineage["routed"] for lineage in lineages.values() if lineage.get("routed")]
        return bool(routed) and all(self.registry.bundle(each).manifest["plan_hash"] == plan for each in routed)

    def bootstrap(self) -> None:
        """Materialize history, features, samples, models, bundles, deployment and report through Dagster."""
        path = self.settings.home / "logs" / "bootstrap.log"
        arguments = [sys.executable, "-m", "orchestration.bootstrap", self.algorithm]
        with (
            path.open("wb") as output,
            subprocess.Popen(
                arguments,
                cwd=ROOT,
                env={**os.environ, **self.variables, "SAIMA_FAULT": ""},
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for text in process.stdout:
                    self._say(text.rstrip())
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            lines = "\n".join(path.read_text(errors="replace").splitlines()[-20:])
            raise click.ClickException(f"the first materialization failed; {path} ends with\n{lines}")

    def start_streams(self) -> None:
        """Start the stream worker's shards, the first one before the others, and the algorithm host.

        They stop newest first, so that the first shard, which tells of all, is the last that stops.
        """
        for shard in range(self.settings.shards):
            self.supervisor.start(stack.worker(shard, self.variables))
        self.supervisor.start(stack.host(self.settings, self.variables))

    def start_dagster(self) -> None:
        """Start Dagster's webserver and daemon, on a storage that exists: two that create it at once would clash."""
        if not (self.settings.home / "dagster" / "history").exists():
            _create_storage()
        self.supervisor.start(stack.dagster(self.settings, self.variables))

    def start_runs(self) -> None:
        """Start the process that runs are forked from: last, since its imports would delay the first answer."""
        self.supervisor.start(stack.forkserver(self.variables))

    def wait_ready(self, stop: threading.Event) -> None:
        """Wait until the worker has its state and every host process routes a version."""
        for shard in range(self.settings.shards):
            self._wait(f"worker-{shard}", partial(self._worker_runs, shard), stop)
        self._wait("host", self._hosts_route, stop)

    def replayer(self, traffic: Traffic, speed: float) -> Replayer:
        """The client that replays the traffic against this session."""
        return client_replayer(self.settings, self.log, traffic, speed)

    def stop(self) -> None:
        """Stop every process and close the stores."""
        self.supervisor.stop()
        self.log.close()

    def _worker_runs(self, shard: int) -> bool:
        pid = self.supervisor.children[f"worker-{shard}"].process.pid
        found = self.registry.statuses("worker/").get(f"worker/{shard}", {})
        return bool(found.get("pid") == pid and found.get("state") == "running")

    def _hosts_route(self) -> bool:
        if not _answers(f"{self.host_url}/readyz"):
            return False
        since = (time.time() - 5) * 1000
        epoch = self.registry.deployment().epoch
        alive = [status for status in self.registry.statuses("host/").values() if status["updated"] > since]
        routed = sum(status.get("epoch") == epoch for status in alive)
        return bool(routed >= self.settings.host_workers)

    def _wait(self, name: str, ready: Callable[[], bool], stop: threading.Event) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if stop.wait(0.1):
                return
            self.supervisor.watch()
            child = self.supervisor.children[name]
            if child.restarts >= 4 or time.monotonic() > deadline:
                raise click.ClickException(
                    f"{name} does not come up ({child.last_exit or 'still starting'}); "
                    f"{self.supervisor.log(name)} ends with\n{self.supervisor.tail(name)}"
                )


def _answers(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=2).status_code == httpx.codes.OK)
    except httpx.HTTPError:
        return False


def _create_storage() -> None:
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        instance.get_runs(limit=1)
        instance.all_asset_keys()
        instance.all_instigator_state()


def client_replayer(settings: Settings, log: EventLog, traffic: Traffic, speed: float) -> Replayer:
    """A replayer whose barrier is the online store's position and whose predictions go to the host over HTTP."""
    from saima_client import Client

    online = open_reader(settings)

    def position() -> int:
        with online.read() as read:
            return read.position().get(0, 0)

    client = Client(f"http://127.0.0.1:{settings.host_port}", budget_s=20.0)
    return Replayer(traffic, log, position, client, settings.home / "client", speed=speed)


def replay_in_background(
    replayer: Replayer, start: int, until: int, stop: threading.Event
) -> tuple[threading.Thread, list[BaseException]]:
    """Run the replayer on a thread; what it raised is in the returned list after the thread has ended."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            replayer.run(start, until, stop)
        except (SaimaError, OSError, httpx.HTTPError) as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="replay")
    thread.start()
    return thread, raised
