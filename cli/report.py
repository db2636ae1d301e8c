"""`saima report`: an experiment's report as one HTML page."""

from __future__ import annotations

import time
from pathlib import Path

import click

from saima.settings import settings


@click.command("report")
@click.argument("algorithm", default="flight_delay")
@click.argument("experiment", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), help="File; default <home>/reports/<algorithm>/<experiment>.html."
)
def report(algorithm: str, experiment: str | None, out: Path | None) -> None:
    """Write the report of EXPERIMENT (default: all of ALGORITHM's) and say its verdict."""
    from ab import report as reports
    from saima.errors import SaimaError
    from saima.routing.experiments import load_experiments
    from saima.stores import open_tables

    chosen = settings()
    names = (
        [experiment] if experiment else [each.experiment for each in load_experiments(chosen.algorithms / algorithm)]
    )
    if not names:
        raise SaimaError(
            f"algorithm '{algorithm}' declares no experiment under {chosen.algorithms / algorithm}/experiments"
        )
    if out is not None and len(names) > 1:
        raise click.BadParameter(f"--out is one file, but there are {', '.join(names)}; name one experiment")
    tables = open_tables(chosen)
    for name in names:
        found = reports.from_tables(algorithm, name, tables, generated=int(time.time() * 1000), settings=chosen)
        path = out or chosen.home / "reports" / algorithm / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reports.to_html(found), encoding="utf-8")
        click.echo(f"{name}: {found.verdict.headline} {found.verdict.because}")
        click.echo(f"  {path}")
