"""`saima deploy`: route a published bundle by hand."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from saima.stores.interfaces import BundleRow


@click.command("deploy")
@click.argument("algorithm")
@click.argument("publication", type=int, required=False)
@click.option("--reason", default="", help="Why; it stays in the deployments' history.")
def deploy(algorithm: str, publication: int | None, reason: str) -> None:
    """Route PUBLICATION of ALGORITHM on its lineage; without it, list what has been published."""
    from saima.errors import SaimaError
    from saima.routing.deployment import read_document, release, write
    from saima.stores import open_registry

    registry = open_registry()
    bundles = registry.bundles(algorithm)
    if publication is None:
        current = read_document(registry.deployment().document)
        for row in bundles:
            state = current.lineage(algorithm, row.lineage)
            mark = (
                "routed" if row.publication == state.routed else "standby" if row.publication in state.standby else ""
            )
            click.echo(f"{row.publication:6d}  {row.lineage:12s}  {row.digest[:12]}  {_when(row)}  {mark}".rstrip())
        if not bundles:
            click.echo(f"nothing of '{algorithm}' has been published; `saima up` publishes the first bundles")
        return
    wanted = next((each for each in bundles if each.publication == publication), None)
    if wanted is None:
        raise SaimaError(
            f"'{algorithm}' has no publication {publication}; `saima deploy {algorithm}` lists "
            f"{', '.join(str(each.publication) for each in bundles) or 'none yet'}"
        )
    written = write(
        registry,
        release(algorithm, wanted.lineage, publication),
        author=getpass.getuser(),
        reason=reason or f"saima deploy {algorithm} {publication}",
    )
    click.echo(f"epoch {written.epoch}: {algorithm}/{wanted.lineage} routes {publication}")


def _when(row: BundleRow) -> str:
    return datetime.fromtimestamp(row.created / 1000, UTC).strftime("%Y-%m-%d %H:%M")
