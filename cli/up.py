"""`saima up`: the whole system on live (replayed) traffic until Ctrl-C."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from cli.preflight import check_disk, check_ports, only_instance
from cli.session import Session, replay_in_background
from cli.terminal import line, render
from cli.traffic import load_traffic
from cli.view import View, errors_by_arm, look
from saima.settings import settings
from saima.signals import ENDS, ending

_DAY = 86_400_000


@click.command("up")
@click.argument("algorithm", default="flight_delay")
@click.option("--speed", default=4320.0, show_default=True, help="Event seconds a second; 4320 is a day in 20 s.")
@click.option("--days", default=0, help="Stop after so many replayed days; 0 runs to the end of the recording.")
def up(algorithm: str, speed: float, days: int) -> None:
    """Start everything: Dagster, the algorithm host, the stream worker, and recorded events as live traffic."""
    if speed <= 0:
        raise click.BadParameter(f"{speed} is not a speed; give event seconds a second above 0", param_hint="--speed")
    console = Console()
    chosen = settings()
    notices: list[str] = []

    def say(text: str) -> None:
        stamp = datetime.now(UTC).strftime("%H:%M:%S")
        notices.append(f"{stamp} {text}")
        console.print(f"[dim]{stamp}[/dim] {text}", highlight=False)

    with only_instance(chosen.home):
        check_disk(chosen.home)
        check_ports({"SAIMA_DAGSTER_PORT": chosen.dagster_port, "SAIMA_HOST_PORT": chosen.host_port})
        traffic, span = load_traffic(chosen, algorithm)
        session = Session(chosen, algorithm, say)
        with interruptible() as stop:
            try:
                _start(session, say, stop)
                until = span[1] if not days else min(span[1], span[0] + days * _DAY)
                notices.clear()
                _run(session, session.replayer(traffic, speed), (span[0], until), stop, console, notices)
            finally:
                say("stopping")
                session.stop()
        say("stopped; the next `make up` goes on from here")


def _start(session: Session, say: Any, stop: threading.Event) -> None:
    """Everything in the order in which it is needed: what answers first where it can answer at once."""
    begun = time.monotonic()
    first = not session.bootstrapped
    if first:
        say("no version fits this code yet: history becomes features, samples, models and bundles; about two minutes")
        session.start_dagster()
        session.bootstrap()
    session.start_streams()
    say("waiting for the worker and the host")
    session.wait_ready(stop)
    say(f"serving after {time.monotonic() - begun:.0f} s" + ("" if first else "; Dagster follows"))
    if not first:
        session.start_dagster()
    session.start_runs()


def _run(
    session: Session,
    replayer: Any,
    span: tuple[int, int],
    stop: threading.Event,
    console: Console,
    notices: list[str],
) -> None:
    thread, raised = replay_in_background(replayer, *span, stop)
    addresses = {"Dagster": session.dagster_url, "host": session.host_url}
    meter = Meter()
    try:
        with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
            while thread.is_alive() and not stop.wait(0.5):
                session.supervisor.watch()
                view = meter.view(session, replayer.progress, notices)
                if console.is_terminal:
                    live.update(render(view, f"Saima: {session.algorithm}", addresses), refresh=True)
                elif meter.turn % 10 == 0:
                    console.print(line(view), highlight=False)
    finally:
        stop.set()
        thread.join(30)
    if raised:
        raise click.ClickException(str(raised[0]))


class Meter:
    """Turns running totals into rates over the last ten looks, and refreshes the errors every few seconds."""

    def __init__(self) -> None:
        self.turn = 0
        self._past: list[tuple[float, int, int]] = []
        self._errors: list[dict[str, Any]] = []

    def view(self, session: Session, progress: Any, notices: list[str]) -> View:
        """The next look at a session."""
        self.turn += 1
        self._past = [*self._past[-9:], (time.monotonic(), progress.events, progress.predictions)]
        (then, events, predictions), (now, more_events, more_predictions) = self._past[0], self._past[-1]
        span = max(now - then, 1e-9)
        rates = ((more_events - events) / span, (more_predictions - predictions) / span)
        if self.turn % 10 == 1 and progress.time:
            days = [
                datetime.fromtimestamp((progress.time - back * _DAY) / 1000, UTC).strftime("%Y-%m-%d")
                for back in range(7)
            ]
            self._errors = errors_by_arm(session.tables, session.algorithm, days)
        return look(session.registry, session.algorithm, progress, rates, notices, self._errors)


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    seen = itertools.count()

    def handle(_number: int, _frame: Any) -> None:
        if next(seen):
            raise KeyboardInterrupt

    with ending() as stop:
        for number in ENDS:
            signal.signal(number, handle)
        yield stop
