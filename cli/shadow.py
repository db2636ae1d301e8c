"""`saima shadow`: a lineage that gets a copy of every request, and answers nobody."""

from __future__ import annotations

import getpass
import json

import click

from saima.errors import SaimaError, suggest


@click.command("shadow")
@click.argument("algorithm")
@click.argument("lineage", required=False)
@click.option("--off", is_flag=True, help="Cast no shadow any more.")
@click.option("--reason", default="", help="Why; it stays in the deployments' history.")
@click.option("--json", "as_json", is_flag=True, help="What is in force, for a program.")
def shadow(algorithm: str, lineage: str | None, off: bool, reason: str, as_json: bool) -> None:
    """Give LINEAGE a copy of every request of ALGORITHM after its answer; without it, show the shadow in force.

    What a shadow computes is journalled, flagged, and is never an exposure.
    """
    from saima.routing.deployment import configure, read_document, write
    from saima.stores import open_registry

    registry = open_registry()
    row = registry.deployment()
    state = read_document(row.document).algorithms.get(algorithm)
    if state is None:
        raise SaimaError(f"nothing of '{algorithm}' is deployed")
    if lineage is not None and off:
        raise click.UsageError("a lineage or --off, not both")
    if lineage is not None and (lineage not in state.lineages or state.lineages[lineage].routed is None):
        known = [name for name, one in state.lineages.items() if one.routed is not None]
        raise SaimaError(
            f"'{algorithm}' routes no lineage '{lineage}'{suggest(lineage, known)}; it routes {', '.join(known)}, "
            f"and `saima deploy {algorithm}` lists what may be routed"
        )
    if lineage is not None or off:
        why = reason or (f"shadow {lineage}" if lineage else "no shadow")
        row = write(registry, configure(algorithm, shadow=lineage), getpass.getuser(), why)
        state = read_document(row.document).algorithms[algorithm]
    cast = sum(int(one.get("shadowed", 0)) for one in registry.statuses("host/").values())
    if as_json:
        click.echo(json.dumps({"epoch": row.epoch, "algorithm": algorithm, "shadow": state.shadow, "shadowed": cast}))
        return
    said = f"casts its shadow on {state.shadow}" if state.shadow else "casts no shadow"
    click.echo(f"epoch {row.epoch}: {algorithm} {said}; hosts of this home have copied {cast:,} requests")
