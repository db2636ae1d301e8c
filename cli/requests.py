"""`saima replay`: recorded requests through a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click


@click.command("replay")
@click.argument("algorithm")
@click.argument("publication", type=int, required=False)
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="A bundle's folder, instead of a number.")
@click.option("--requests", default=10_000, show_default=True, help="Newest recorded requests; 0 for all.")
@click.option("--strict", is_flag=True, help="Exit code 1 unless every score has the same bits.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as one page, too.")
@click.option("--json", "as_json", is_flag=True, help="The report for a program.")
def replay(
    algorithm: str,
    publication: int | None,
    bundle: Path | None,
    requests: int,
    strict: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Answer recorded requests of ALGORITHM with the bundle PUBLICATION, and compare with what was answered.

    Only requests that were kept whole are replayed (`journal: {full: ...}` of the declaration). Without PUBLICATION the
    records are grouped by the bundle that answered, and each is replayed by its own, which must give the same bits.
    Nothing is written to any store.
    """
    from cli.recorded import event_tables, published, records
    from cli.replay_report import page, show
    from saima.host.bundle import Bundle
    from saima.host.replay import TOP, Differences, Replayed
    from saima.host.replay import replay as run
    from saima.settings import settings

    chosen = settings()
    found: dict[str, Differences] = {}
    opened: dict[int, Bundle] = {}

    def opening(number: int) -> Bundle:
        if number not in opened:
            path = bundle if bundle is not None else Path(published(chosen, algorithm, number).path)
            opened[number] = Bundle.open(path)
        return opened[number]

    rows = records(chosen, algorithm, requests, whole=True)
    for record in _progress(rows, requests, quiet=as_json):
        number = 0 if bundle is not None else publication if publication is not None else int(record["version"])
        version = opening(number)
        events = None
        if publication is not None or bundle is not None:
            events = event_tables(chosen, list(version.algorithm.declaration.sources))
        name = str(bundle) if bundle is not None else f"{algorithm} #{number}"
        into = found.setdefault(name, Differences(version.algorithm.declaration.top_k or TOP))
        for one in run(version, [record], events):
            if isinstance(one, Replayed):
                into.add(one)
            else:
                into.skipped[one] += 1
    documents = {name: one.document() for name, one in found.items()}
    if html is not None:
        html.write_text(page(f"Replay of {algorithm}", documents), "utf-8")
    click.echo(json.dumps(documents, indent=1) if as_json else show(documents), nl=as_json)
    if strict and any(one.exact < one.requests or not one.requests for one in found.values()):
        raise click.exceptions.Exit(1)


def _progress(rows: Iterable[dict[str, Any]], total: int, quiet: bool) -> Iterator[dict[str, Any]]:
    """The rows, with a bar on stderr while a person looks on."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield from rows
    else:
        yield from track(rows, "replaying", total or None, console=console, transient=True)
