"""`saima explain`: the plan that a declaration becomes."""

from __future__ import annotations

import click

from saima.settings import settings


@click.command("explain")
@click.argument("name")
def explain(name: str) -> None:
    """Show reads, sides, stages, shared subexpressions, what serving keeps, and lineage of algorithm NAME."""
    from saima.features import explain as plan_text
    from saima.features import load

    loaded = load(name, settings().algorithms)
    click.echo(f"{loaded.name}  digest {loaded.digest[:12]}  plan {loaded.plan.hash[:12]}")
    click.echo(plan_text(loaded))
