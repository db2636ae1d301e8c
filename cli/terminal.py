"""The live status: one screen that says what runs, how fast, how well, and what changed last."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.view import View


def render(view: View, title: str, addresses: dict[str, str], now: float | None = None) -> RenderableType:
    """The view as a panel; `now` is the wall clock in seconds."""
    parts: list[RenderableType] = [_numbers(view), Text(""), _versions(view)]
    if view.errors:
        parts += [Text(""), _errors(view)]
    parts += [Text(""), _retrain(view, time.time() if now is None else now)]
    parts += [Text(f"! {notice}", style="yellow") for notice in view.notices]
    footer = "   ".join(f"{name} {address}" for name, address in addresses.items())
    return Panel(Group(*parts), title=title, subtitle=f"{footer}   Ctrl-C stops", padding=(1, 2))


def line(view: View) -> str:
    """The view as one line, for a terminal that cannot redraw."""
    return (
        f"{moment(view.event_time)}  {view.events_per_second:.0f} events/s  lag {view.lag_events}  "
        f"{view.predictions_per_second:.0f} predictions/s  p50 {view.p50:.1f} ms p99 {view.p99:.1f} ms  "
        f"failed {view.failed}  retrains {view.retrains}"
    )


def moment(milliseconds: int) -> str:
    """An event time as text.

    >>> moment(1364788800000)
    '2013-04-01 04:00 UTC'
    """
    if not milliseconds:
        return "waiting"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _numbers(view: View) -> Table:
    grid = Table.grid(padding=(0, 3))
    for _ in range(4):
        grid.add_column()
    grid.add_row(
        _pair("event time", moment(view.event_time)),
        _pair("events", f"{view.events_per_second:,.0f}/s"),
        _pair("lag", f"{view.lag_events:,} events"),
        _pair("visible p99", f"{view.visible_p99:,.0f} ms"),
    )
    grid.add_row(
        _pair("predictions", f"{view.predictions:,} ({view.predictions_per_second:,.0f}/s)"),
        _pair("latency p50", f"{view.p50:.1f} ms"),
        _pair("p99", f"{view.p99:.1f} ms"),
        _pair("failed", str(view.failed), "red" if view.failed else "green"),
    )
    return grid


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _versions(view: View) -> Table:
    table = Table("version", "lineage", "state", "answered", "share", box=None, header_style="dim", padding=(0, 2))
    for version in view.versions:
        style = "bold green" if version.state == "routed" else "dim"
        table.add_row(
            str(version.publication),
            version.lineage,
            version.state,
            f"{version.answered:,}",
            f"{version.share:.0%}",
            style=style,
        )
    return table


def _errors(view: View) -> Table:
    table = Table("arm", "landed flights", "mean absolute error", box=None, header_style="dim", padding=(0, 2))
    for row in view.errors:
        table.add_row(str(row["arm"]), f"{row['rows']:,}", f"{row['mae']:.2f}")
    return table


def _retrain(view: View, now: float) -> Text:
    mark = view.last_retrain
    if mark is None:
        return Text("no retrain yet: the first follows when enough new samples have come", style="dim")
    ago = max(0.0, now - mark["at"] / 1000)
    published = f"version {mark['publication']}" if mark.get("publication") else str(mark.get("outcome"))
    return Text.assemble(
        ("last retrain ", "dim"),
        (f"{mark['lineage']} -> {published}", "bold"),
        (f"  {ago:.0f} s ago, triggered by {mark['trigger']}; {view.retrains} so far, {view.samples:,} samples", "dim"),
    )
