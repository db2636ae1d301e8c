"""`saima rollback`: back to the last good version, and hold the lineage there."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING

import click

from saima.errors import SaimaError

if TYPE_CHECKING:
    from saima.routing.deployment import AlgorithmState


@click.command("rollback")
@click.argument("algorithm")
@click.option("--lineage", help="Which lineage; needed where several could go back.")
@click.option("--reason", default="rolled back by hand", show_default=True, help="Why; shown wherever the hold is.")
@click.option("--lift", is_flag=True, help="Lift the hold instead: new bundles are routed again.")
@click.option("--json", "as_json", is_flag=True, help="What is in force now, for a program.")
def rollback(algorithm: str, lineage: str | None, reason: str, lift: bool, as_json: bool) -> None:
    """Route the newest standby of ALGORITHM, quarantine what was routed, and hold the lineage.

    A held lineage retrains no more and takes no bundle until `--lift`.
    """
    from saima.routing import deployment
    from saima.stores import open_registry

    registry = open_registry()
    current = deployment.read_document(registry.deployment().document).algorithms
    if algorithm not in current:
        raise SaimaError(
            f"nothing of '{algorithm}' is deployed; deployed: {', '.join(sorted(current)) or 'nothing yet'}"
        )
    state = current[algorithm]
    author = getpass.getuser()
    if lift:
        held = [name for name, one in state.lineages.items() if one.hold is not None and lineage in (None, name)]
        if not held:
            raise SaimaError(f"no lineage of '{algorithm}' is on hold{f' under {lineage!r}' if lineage else ''}")
        lifting = deployment.chain(*(deployment.lift_hold(algorithm, name) for name in held))
        written = deployment.write(registry, lifting, author, f"lift the hold of {', '.join(held)}")
        if as_json:
            click.echo(json.dumps({"epoch": written.epoch, "algorithm": algorithm, "lifted": held}))
            return
        click.echo(f"epoch {written.epoch}: {algorithm}/{', '.join(held)} takes new bundles again")
        return
    chosen = lineage or _only(algorithm, state)
    before = state.lineages[chosen].routed if chosen in state.lineages else None
    written = deployment.write(registry, deployment.rollback(algorithm, chosen, reason), author, reason)
    after = deployment.read_document(written.document).lineage(algorithm, chosen)
    registry.append_mark(
        "rollback",
        {"algorithm": algorithm, "lineage": chosen, "publication": before, "to": after.routed, "reason": reason},
    )
    if as_json:
        told = {"epoch": written.epoch, "algorithm": algorithm, "lineage": chosen, "routed": after.routed,
                "quarantined": before, "hold": after.hold}  # fmt: skip
        click.echo(json.dumps(told))
        return
    click.echo(
        f"epoch {written.epoch}: {algorithm}/{chosen} routes {after.routed} instead of {before}, on hold: {reason}"
    )
    click.echo(f"when it is mended: saima rollback {algorithm} --lineage {chosen} --lift")


def _only(algorithm: str, state: AlgorithmState) -> str:
    able = [name for name, one in state.lineages.items() if one.routed is not None and one.standby]
    if len(able) != 1:
        names = ", ".join(able) or "none has a standby"
        raise SaimaError(f"say which lineage of '{algorithm}' with --lineage; these can go back: {names}")
    return able[0]
