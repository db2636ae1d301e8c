"""`saima deploy`: route a published bundle by hand."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from saima.routing.deployment import LineageState
    from saima.stores.interfaces import BundleRow


@click.command("deploy")
@click.argument("algorithm")
@click.argument("publication", type=int, required=False)
@click.option("--reason", default="", help="Why; it stays in the deployments' history.")
@click.option("--json", "as_json", is_flag=True, help="The list, or what was routed, for a program.")
def deploy(algorithm: str, publication: int | None, reason: str, as_json: bool) -> None:
    """Route PUBLICATION of ALGORITHM on its lineage; without it, list what has been published."""
    from saima.errors import SaimaError
    from saima.routing.deployment import read_document, release, write
    from saima.stores import open_registry

    registry = open_registry()
    bundles = registry.bundles(algorithm)
    if publication is None:
        current = read_document(registry.deployment().document)
        listed = [(row, _mark(current.lineage(algorithm, row.lineage), row.publication)) for row in bundles]
        if as_json:
            fields = ("publication", "lineage", "digest", "tag", "path", "created")
            rows = [{**{name: getattr(row, name) for name in fields}, "state": mark} for row, mark in listed]
            click.echo(json.dumps(rows, indent=1))
            return
        for row, mark in listed:
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
    if as_json:
        routed = {"epoch": written.epoch, "algorithm": algorithm, "lineage": wanted.lineage, "routed": publication}
        click.echo(json.dumps(routed))
        return
    click.echo(f"epoch {written.epoch}: {algorithm}/{wanted.lineage} routes {publication}")


def _mark(state: LineageState, publication: int) -> str:
    return "routed" if publication == state.routed else "standby" if publication in state.standby else ""


def _when(row: BundleRow) -> str:
    return datetime.fromtimestamp(row.created / 1000, UTC).strftime("%Y-%m-%d %H:%M")
