"""`saima demo`: replayed days, headless, with kills in mid-run; proves itself and writes `demo/summary.json`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import psutil
from rich.console import Console

from cli import verdict
from cli.preflight import check_disk, only_instance
from cli.replay import Replayer
from cli.session import Session, replay_in_background
from cli.terminal import line
from cli.traffic import load_traffic
from cli.up import Meter
from saima.settings import settings
from saima.worker.status import together

_DAY = 86_400_000
FAULTS = ("parity", "leak", "journal")


@click.command("demo")
@click.argument("algorithm", default="flight_delay")
@click.option("--days", default=14.0, show_default=True, help="Replayed days; 0.5 is half a day.")
@click.option("--fault", type=click.Choice(FAULTS), help="Plant a fault; the demo must then fail.")
@click.option("--kills/--no-kills", default=True, help="Kill the worker and a host process in mid-run.")
def demo(algorithm: str, days: float, fault: str | None, kills: bool) -> None:
    """Replay days as fast as they go, kill processes on the way, and prove that nothing was lost or wrong."""
    if not 0.1 <= days <= 366:
        raise click.BadParameter(f"{days:g} is not a number of days; give 0.1 to 366", param_hint="--days")
    console = Console()
    base = settings().home / "demo"
    chosen = settings().model_copy(
        update={"home": base / "run", "host_port": _free_port(), "dagster_port": _free_port(), "registry_url": ""}
    )
    begun = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/dim]  {text}", highlight=False)

    with only_instance(base):
        shutil.rmtree(chosen.home, ignore_errors=True)
        check_disk(base)
        traffic, (start, end) = load_traffic(chosen, algorithm, leak=fault == "leak")
        until = min(end, start + int(days * _DAY))
        session = Session(chosen, algorithm, say, fault or "")
        memory = Memory()
        stop = threading.Event()
        try:
            session.start_dagster()
            session.bootstrap()
            first = max((row.publication for row in session.registry.bundles(algorithm)), default=0)
            session.start_streams()
            session.wait_ready(stop)
            session.start_runs()
            say(f"serving; replaying {days:g} days" + (f" with the fault '{fault}' planted" if fault else ""))
            replayer = session.replayer(traffic, 0.0)
            plan = [(0.35, _kill_worker), (0.65, _kill_host)] if kills else []
            _replay(session, replayer, (start, until), plan, stop, say, memory)
            _settle(session, say)
            found = verdict.summarise(session, traffic, (start, until), replayer.progress, first, memory.peak)
        finally:
            stop.set()
            session.stop()
    found["seconds"] = round(time.monotonic() - begun, 1)
    found["kills"] = len(plan)
    found["fault"] = fault
    found["failures"] = verdict.judge(found)
    base.mkdir(parents=True, exist_ok=True)
    (base / "summary.json").write_text(json.dumps(found, indent=2, default=str) + "\n")
    console.print(verdict.table(found))
    console.print(f"written to {base / 'summary.json'}", highlight=False)
    if found["failures"]:
        raise click.ClickException("the demo failed:\n  " + "\n  ".join(found["failures"]))


def _replay(
    session: Session,
    replayer: Replayer,
    span: tuple[int, int],
    plan: Sequence[tuple[float, Callable[[Session], str]]],
    stop: threading.Event,
    say: Callable[[str], None],
    memory: Memory,
) -> None:
    thread, raised = replay_in_background(replayer, *span, stop)
    meter, told = Meter(), time.monotonic()
    waiting = list(plan)
    while thread.is_alive():
        thread.join(0.25)
        session.supervisor.watch()
        memory.sample()
        done = (replayer.progress.time - span[0]) / (span[1] - span[0])
        if waiting and done >= waiting[0][0]:
            say(waiting.pop(0)[1](session))
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            say(line(meter.view(session, replayer.progress, [])))
    if raised:
        raise click.ClickException(str(raised[0]))


def _kill_worker(session: Session) -> str:
    name = f"worker-{session.settings.shards - 1}"  # the last shard; of one, the only one
    process = session.supervisor.children[name].process
    os.kill(process.pid, signal.SIGKILL)
    return f"killed the stream worker {name} (pid {process.pid}) with SIGKILL"


def _kill_host(session: Session) -> str:
    statuses = session.registry.statuses("host/").values()
    newest = sorted(statuses, key=lambda status: status["updated"])
    pid = int(newest[-1]["pid"])
    os.kill(pid, signal.SIGKILL)
    return f"killed the host worker (pid {pid}) with SIGKILL"


def _settle(session: Session, say: Callable[[str], None], seconds: float = 120.0) -> None:
    """Wait until spools, log, outbox and retrains are at rest."""
    say("replay ended; waiting for spools, outbox and retrains to come to rest")
    deadline = time.monotonic() + seconds
    quiet = 0
    seen: Any = None
    while time.monotonic() < deadline and quiet < 8:
        session.supervisor.watch()
        worker = together(session.registry.statuses("worker/"))
        head = session.log.head().get(0, 0)
        position = int(worker.get("position", {}).get("0", -1))
        state = (head, position, worker.get("counts", {}).get("samples"), worker.get("outbox_rows"))
        busy = position < head or worker.get("outbox_rows") or session.registry.claims()
        quiet = quiet + 1 if not busy and state == seen else 0
        seen = state
        time.sleep(0.5)
    if quiet < 8:
        say(f"still not at rest after {seconds:.0f} s: head {seen[0]}, position {seen[1]}, outbox {seen[3]}")


class Memory:
    """Peak of the summed resident sizes of this process and everything below it, in MiB."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._root = psutil.Process()
        self._next = 0.0

    def sample(self) -> None:
        """Measure, at most once a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1.0
        total = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.peak = max(self.peak, total / 1024**2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
