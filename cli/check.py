"""`saima check`: declarations before they run, and served features against recomputed ones after."""

from __future__ import annotations

import click

from saima.errors import SaimaError
from saima.settings import Settings, settings


class Check(click.Group):
    """A group whose words that are no command are names of algorithms."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`check`, `check NAME...` and `check declaration NAME...` mean the same."""
        if not args or (args[0] not in self.commands and not args[0].startswith("-")):
            args = ["declaration", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Check, invoke_without_command=False)
def check() -> None:
    """Validate declarations: `saima check [NAME]...`; all of them without a name.

    An error shows file, line, column and the way out.
    """


@check.command("declaration")
@click.argument("names", nargs=-1)
def declaration(names: tuple[str, ...]) -> None:
    """Validate algorithm.yaml and experiments of the named algorithms, or of all."""
    chosen = settings()
    found = names or tuple(sorted(path.parent.name for path in chosen.algorithms.glob("*/algorithm.yaml")))
    if not found:
        raise click.ClickException(f"there is no algorithm in {chosen.algorithms}; `saima new <name>` makes one")
    failed = 0
    for name in found:
        try:
            click.echo(f"ok {name}: {_summary(name, chosen)}")
        except SaimaError as error:
            failed += 1
            click.echo(str(error), err=True)
    if failed:
        raise click.exceptions.Exit(1)


@check.command("parity")
@click.argument("algorithm")
@click.option("--rows", default=0, show_default="all", help="Only so many of the newest journalled requests.")
def parity(algorithm: str, rows: int) -> None:
    """Recompute journalled features as of their logged positions and compare them bit by bit."""
    from saima.features import load
    from saima.features.parity import check as compare
    from saima.stores import open_tables

    chosen = settings()
    loaded = load(algorithm, chosen.algorithms)
    tables = open_tables(chosen)
    journal = f"{algorithm}/journal"
    if not tables.exists(journal):
        raise click.ClickException(
            f"there is no journal of '{algorithm}' under {chosen.home}; `saima up` or `saima demo` makes one"
        )
    lazy = tables.scan(journal)
    records = (lazy.sort("time").tail(rows) if rows else lazy).collect()
    events = {
        topic: tables.scan(f"events/{topic}")
        for topic in loaded.declaration.sources
        if tables.exists(f"events/{topic}")
    }
    found = compare(loaded, records, events)
    staleness = ", ".join(f"{name} {value:,.0f} ms" for name, value in found.staleness_ms.items() if value is not None)
    click.echo(
        f"{found.rows:,} rows x {found.features} features: {found.mismatches:,} mismatches, "
        f"{found.missing:,} missing, {found.extra:,} extra; staleness {staleness or 'not measured'}"
    )
    for reason, count in found.skipped.items():
        click.echo(f"  {count:,} not compared: {reason}")
    worst = sorted(found.largest.items(), key=lambda pair: -pair[1])
    for name, value in [pair for pair in worst if pair[1]][:10]:
        click.echo(f"  {name}: differs by up to {value:g}")
    if found.mismatches or found.missing or found.extra or not found.rows:
        raise click.ClickException("served and recomputed features differ" if found.rows else "no row was compared")


@check.command("handover")
@click.argument("names", nargs=-1)
def handover(names: tuple[str, ...]) -> None:
    """Build windows and rows of the named algorithms, or of all, anew from the event tables; compare bit by bit."""
    from cli.feature_find import load_all
    from saima.worker.handover import of_home

    agreed = of_home(settings(), {name: loaded.declaration for name, loaded in load_all(names).items()})
    for table, keys in agreed.keys.items():
        wrong = agreed.differing.get(table)
        click.echo(f"{table}: {keys:,} keys" + (f", differing: {', '.join(wrong)}" if wrong else ""))
    click.echo(f"as of position {agreed.position:,}: {agreed.mismatches:,} mismatches")
    if agreed.mismatches:
        raise click.ClickException("batch and stream differ; `saima rebuild` builds the online store anew")


def _summary(name: str, chosen: Settings) -> str:
    from saima.features import load
    from saima.features.checks.agreement import check_operators, said
    from saima.learning.verification import verify
    from saima.routing.checks import checked_experiments
    from serving.composition import check_calls

    loaded = load(name, chosen.algorithms)
    check_calls(loaded)
    own = check_operators(loaded)
    missing = verify(loaded)
    experiments = checked_experiments(loaded).experiments
    declared = loaded.declaration
    counts = {
        "feature": len(loaded.plan.features),
        "model": len(declared.models),
        "lineage": len(declared.lineages),
        "experiment": len(experiments),
    }
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items()) + (
        (f"; operators tried: {said(own)}" if own else "")
        + (f"; not there: {', '.join(missing)}" if missing else "")
        + f"; digest {loaded.digest[:12]}"
    )
