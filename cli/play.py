"""`saima traffic`: recorded events as live traffic against a system that runs already."""

from __future__ import annotations

import click

from cli.session import client_replayer, replay_in_background
from cli.terminal import moment
from cli.traffic import load_traffic
from cli.up import interruptible
from saima.settings import settings
from saima.stores import open_log

_DAY = 86_400_000


@click.command("traffic")
@click.argument("algorithm", default="flight_delay")
@click.option("--speed", default=0.0, help="Event seconds a second; 0, the default, is as fast as it goes.")
@click.option("--days", default=1, show_default=True, help="Days of the recording, from where the last time stopped.")
def traffic(algorithm: str, speed: float, days: int) -> None:
    """Send recorded events to a running host and worker, going on where the last time stopped."""
    chosen = settings()
    recording, (start, end) = load_traffic(chosen, algorithm)
    log = open_log(chosen)
    replayer = client_replayer(chosen, log, recording, speed)
    begin = replayer.resume(start)
    until = min(end, begin + days * _DAY)
    click.echo(f"replaying {moment(begin)} to {moment(until)}")
    with interruptible() as stop:
        thread, raised = replay_in_background(replayer, start, until, stop)
        while thread.is_alive():
            thread.join(2.0)
            done = replayer.progress
            click.echo(
                f"{moment(done.time)}  {done.events} events  {done.predictions} predictions  {done.failed} failed"
            )
    log.close()
    if raised:
        raise click.ClickException(str(raised[0]))
