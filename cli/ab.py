"""`saima ab`: experiments from their declaration to their end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cli.ab_changes import ramp, start, stop
from cli.ab_planning import aa, power
from cli.report import report
from saima.errors import SaimaError
from saima.settings import settings

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm
    from saima.routing.deployment import AlgorithmState


@click.group("ab")
def ab() -> None:
    """Experiments: declared in algorithms/<name>/experiments/*.yaml, checked, started, ramped, reported, stopped."""


@ab.command("check")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="What is declared and what runs, for a program.")
def check(names: tuple[str, ...], as_json: bool) -> None:
    """Validate the experiments of the algorithms NAMES (default: of all), and say what starting each would move.

    A mistake shows file, line and column, and what is wrong is not started.
    """
    from saima.features import load
    from saima.routing.deployment import AlgorithmState, read_document
    from saima.stores import open_registry

    chosen = settings()
    found = names or tuple(sorted(path.parent.name for path in chosen.algorithms.glob("*/algorithm.yaml")))
    deployed = read_document(open_registry(chosen).deployment().document).algorithms
    told: dict[str, Any] = {}
    failed = 0
    for name in found:
        try:
            told[name] = _checked(load(name, chosen.algorithms), deployed.get(name, AlgorithmState()))
        except SaimaError as error:
            failed += 1
            told[name] = {"error": str(error)}
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        for name, one in told.items():
            _say(name, one)
    if failed:
        raise click.exceptions.Exit(1)


def _checked(algorithm: Algorithm, state: AlgorithmState) -> dict[str, Any]:
    from saima.routing.checks import checked_experiments
    from saima.routing.running import as_declared, change

    declared = checked_experiments(algorithm)
    rows = []
    for one in (each.experiment for each in declared.experiments):
        found = change(state, one.experiment, as_declared(state, one), declared.layout)
        rows.append(
            {
                "experiment": one.experiment,
                "layer": one.layer,
                "buckets": list(one.buckets),
                "version": one.version(declared.layout.salt_of(one.layer)),
                "runs": found.before is not None,
                "coverage": found.before.coverage if found.before else one.coverage,
                "would_move": {"between_arms": found.moves.between, "out_of_arms": found.moves.out},
                "said": str(found.moves) if found.before else "",
            }
        )
    known = {row["experiment"] for row in rows}
    undeclared = [one.experiment for one in state.experiments if one.experiment not in known]
    return {"experiments": rows, "running_undeclared": undeclared, "freed": [x.model_dump() for x in state.freed]}


def _say(name: str, told: dict[str, Any]) -> None:
    if "error" in told:
        click.echo(told["error"], err=True)
        return
    for row in told["experiments"]:
        runs = f"runs at {row['coverage']:g} %; as declared now, {row['said']}" if row["runs"] else "does not run"
        click.echo(f"ok {name}/{row['experiment']}: layer {row['layer']}, buckets {row['buckets']}, {runs}")
    for one in told["running_undeclared"]:
        click.echo(f"{name}/{one} runs and is declared no more: `saima ab stop {name} {one}` ends it")
    if not told["experiments"]:
        click.echo(f"ok {name}: no experiments")


for command in (start, ramp, stop, report, power, aa):
    ab.add_command(command)
