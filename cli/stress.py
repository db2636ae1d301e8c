"""`saima stress`: recorded requests at a chosen rate, whatever comes back."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command("stress")
@click.argument("algorithm")
@click.option("--rate", default=100.0, show_default=True, help="Requests a second, at random times.")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--requests", default=1_000, show_default=True, help="Newest recorded requests, sent in turn.")
@click.option("--deadline-ms", type=int, help="Deadline of each; default: the lane's.")
@click.option("--url", help="The host; default: this home's.")
@click.option("--key", envvar="SAIMA_KEY", help="A key with the scope predict.")
@click.option("--connections", default=256, show_default=True, help="Most that are open at a time.")
@click.option("--json", "as_json", is_flag=True, help="The numbers for a program.")
def stress(
    algorithm: str,
    rate: float,
    seconds: float,
    requests: int,
    deadline_ms: int | None,
    url: str | None,
    key: str | None,
    connections: int,
    as_json: bool,
) -> None:
    """Send recorded requests of ALGORITHM open-loop and report latency, rejections and errors.

    Latency counts from the time at which a request was to be sent, so that a host which stalls is seen to. The answers
    are journalled as any other: stress a sandbox (docs/operations.md), not what people use.
    """
    from cli.load import Load, request_bytes, run
    from cli.recorded import records
    from saima.settings import settings

    if rate <= 0 or seconds <= 0:
        raise click.BadParameter("rate and seconds must be above 0")
    chosen = settings()
    place = url or f"http://127.0.0.1:{chosen.host_port}"
    headers = {name: value for name, value in {
        "authorization": f"Bearer {key}" if key else "", "x-deadline-ms": str(deadline_ms or ""),
    }.items() if value}  # fmt: skip
    bodies = [json.dumps(body_of(record)).encode() for record in records(chosen, algorithm, requests)]

    def told(load: Load) -> None:
        if not as_json:
            click.echo(f"{load.sent:,} sent, {sum(load.answers.values()):,} came back", err=True)

    wire = [request_bytes(place, body, headers) for body in bodies]
    found = run(place, wire, rate, seconds, connections=connections, told=told).document()
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))


def body_of(record: dict[str, Any]) -> dict[str, Any]:
    """The request of a record, as of the host's clock and under a new trace."""
    body = {"algorithm": record["algorithm"], "request": record["request"], "unit": str(record["unit"])}
    return body | {part: record[part] for part in ("user", "items") if record.get(part)}


def lines(found: dict[str, Any]) -> list[str]:
    """The numbers for a person."""
    names = {"0": "no answer", "200": "answered", "429": "rejected", "504": "expired"}
    answers = ", ".join(f"{count:,} {names.get(status, status)}" for status, count in found["answers"].items() if count)
    head = f"{found['sent']:,} sent in {found['seconds']:g} s, {found['rate']:,.1f}/s, {found['late']:,} late"
    text = [f"{head}: {answers}"]
    for name, label in (("latency_ms", "answered"), ("rejected_ms", "rejected"), ("expired_ms", "expired")):
        if found[name]:
            text.append(f"{label:>10} ms  " + "  ".join(f"{key} {value:g}" for key, value in found[name].items()))
    return text
