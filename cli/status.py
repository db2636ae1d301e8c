"""`saima status`: what runs, what is routed, what was retrained, without starting anything."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from saima.settings import settings

if TYPE_CHECKING:
    from saima.stores.interfaces import Registry

_STALE = 5_000
"""A process that has not published for so long (ms) is shown as silent."""


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Everything, for a program.")
def status(as_json: bool) -> None:
    """Show workers, hosts, routed versions, holds, and the newest retrains, rollbacks and claims."""
    from saima.stores import open_registry

    registry = open_registry(settings())
    found = gather(registry)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(lines(found, int(time.time() * 1000))))


def gather(registry: Registry) -> dict[str, Any]:
    """What the registry knows, as JSON data."""
    row = registry.deployment()
    return {
        "epoch": row.epoch,
        "author": row.author,
        "reason": row.reason,
        "deployment": row.document,
        "workers": registry.statuses("worker/"),
        "hosts": registry.statuses("host/"),
        "claims": [
            {"lineage": claim.lineage, "trigger": claim.trigger, "run_id": claim.run_id} for claim in registry.claims()
        ],
        "retrains": registry.marks("retrain")[-5:],
        "rollbacks": registry.marks("rollback")[-5:],
    }


def lines(found: dict[str, Any], now: int) -> list[str]:
    """The same for a person; `now` is the wall clock in ms."""
    text = [
        f"epoch {found['epoch']} by {found['author']}: {found['reason']}" if found["epoch"] else "nothing is deployed"
    ]
    for algorithm, state in found["deployment"].get("algorithms", {}).items():
        for lineage, one in state["lineages"].items():
            hold = f", ON HOLD: {one['hold']}" if one.get("hold") else ""
            standby = ", ".join(str(publication) for publication in one["standby"]) or "none"
            text.append(f"  {algorithm}/{lineage} routes {one['routed']}, standby {standby}{hold}")
    for name, worker in found["workers"].items():
        counts = worker.get("counts", {})
        text.append(
            f"{name} {_alive(worker, now)} {worker.get('state', '')}: "
            f"position {worker.get('position', {}).get('0', 0):,}, {worker.get('lag_events', 0):,} behind, "
            f"watermark {_moment(worker.get('watermark'))}, visible p99 {_ms(worker.get('visible_p99_ms'))}, "
            f"samples {counts.get('samples', 0):,}"
        )
        if worker.get("unread"):
            text.append(f"  computed and read by nobody for 7 days: {', '.join(worker['unread'])}")
        text += [f"  WRONG {algorithm}: {error}" for algorithm, error in worker.get("wrong_declarations", {}).items()]
        if worker.get("refused_declarations"):
            text.append(f"  REFUSED {worker['refused_declarations']}")
        for table, error in worker.get("warming", {}).items():
            text.append(f"  building {table}{f', FAILED: {error}' if error else ''}")
    for name, host in found["hosts"].items():
        error = f", ERROR {host['error']}" if host.get("error") else ""
        text.append(
            f"{name} {_alive(host, now)}: epoch {host.get('epoch', 0)}, answers {host.get('answers', 0):,}, "
            f"dropped {host.get('dropped', 0):,}{error}"
        )
        text += [
            f"  {slot['algorithm']}/{slot['lineage']} {slot['publication']} {slot['state']}, "
            f"{slot['answered']:,} answered"
            for slot in host.get("slots", [])
        ]
    text += [f"retraining {claim['lineage']} ({claim['trigger']})" for claim in found["claims"]]
    text += [
        f"retrained {mark.get('algorithm')}/{mark.get('lineage')} {_moment(mark.get('at'))}: {mark.get('outcome')}, "
        f"triggered by {mark.get('trigger')}, publication {mark.get('publication')}"
        for mark in found["retrains"]
    ]
    text += [
        f"rolled back {mark.get('algorithm')}/{mark.get('lineage')} {_moment(mark.get('at'))}: {mark.get('reason')}"
        for mark in found["rollbacks"]
    ]
    return text


def _alive(document: dict[str, Any], now: int) -> str:
    silent = now - int(document.get("updated", 0))
    return "up" if silent < _STALE else f"SILENT for {silent // 1000} s"


def _moment(milliseconds: int | None) -> str:
    return (
        "-" if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
