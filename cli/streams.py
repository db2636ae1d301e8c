"""`saima streams`: what the engines over streams keep, and who shares it."""

from __future__ import annotations

import click


@click.group("streams")
def streams() -> None:
    """What is kept of streams for the algorithms."""


@streams.command("explain")
@click.argument("algorithms", nargs=-1)
def explain(algorithms: tuple[str, ...]) -> None:
    """Say which aggregates of the named algorithms, or of all, share tiles, are equal, or are parts of others."""
    from cli.feature_find import load_all
    from saima.streams.aggregation.definition import definitions
    from saima.streams.aggregation.explain import explain as text
    from saima.streams.aggregation.plan import plan

    declarations = {name: loaded.declaration for name, loaded in load_all(algorithms).items()}
    sources = {name: source for declaration in declarations.values() for name, source in declaration.sources.items()}
    found = [one for name, declaration in sorted(declarations.items()) for one in definitions(name, declaration)]
    click.echo("\n".join(text(plan(found, sources, across=False))))
