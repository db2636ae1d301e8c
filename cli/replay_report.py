"""The difference report of a replay, for a terminal and as one page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import Any

from rich.console import Console
from rich.table import Table

_ROWS = ("requests", "candidates", "same bits", "largest difference", "top-k overlap", "Kendall tau", "scoring ms",
         "not replayed")  # fmt: skip


def rows_of(found: Mapping[str, Any]) -> list[str]:
    """One bundle's numbers as text, in the order of the report's rows."""
    share = found["exact"] / found["requests"] if found["requests"] else 0.0
    where = f" at {found['where']}" if found["where"] else ""
    overlap, tau, took = found["top_overlap"], found["kendall_tau"], found["scoring_ms"]
    return [
        f"{found['requests']:,}",
        f"{found['candidates']:,}",
        f"{found['exact']:,} ({share:.2%})",
        f"{found['largest_difference']}{where}",
        "-" if overlap is None else f"{overlap:.4f} of the best {found['top']}",
        "-" if tau is None else f"{tau:.4f}",
        f"p50 {took['p50']}, p99 {took['p99']}" if took else "-",
        ", ".join(f"{count:,} {reason}" for reason, count in found["skipped"].items()) or "-",
    ]


def show(documents: Mapping[str, Mapping[str, Any]], width: int = 110) -> str:
    """A table: one column a bundle."""
    table = Table()
    table.add_column("")
    for name in documents:
        table.add_column(name, overflow="fold")
    columns = [rows_of(found) for found in documents.values()]
    for place, name in enumerate(_ROWS):
        table.add_row(name, *(column[place] for column in columns))
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def page(title: str, documents: Mapping[str, Mapping[str, Any]]) -> str:
    """One self-contained HTML page with the table, and the requests that differ most."""
    head = "".join(f"<th>{escape(name)}</th>" for name in documents)
    columns = [rows_of(found) for found in documents.values()]
    body = "".join(
        f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{escape(column[place])}</td>" for column in columns) + "</tr>"
        for place, name in enumerate(_ROWS)
    )
    worst = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(one['trace'])}</td><td>{one['difference']:g}</td></tr>"
        for name, found in documents.items()
        for one in found["worst"]
    )
    listed = (
        "<h2>Requests that differ most</h2>"
        f"<table><tr><th>bundle</th><th>trace</th><th>difference</th></tr>{worst}</table>"
        if worst
        else "<p>No score differs.</p>"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}"
        f"</style><h1>{escape(title)}</h1><table><tr><th></th>{head}</tr>{body}</table>{listed}</html>\n"
    )
