"""`saima ab power|aa`: before an experiment, what it can find, and whether its split is any good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from saima.errors import SaimaError
from saima.settings import settings

if TYPE_CHECKING:
    import polars as pl

    from saima.routing.experiments import Experiment

_JSON = click.option("--json", "as_json", is_flag=True, help="All numbers, for a program.")


@click.command("power")
@click.argument("algorithm")
@click.argument("experiment")
@click.option("--power", default=0.8, show_default=True, type=click.FloatRange(0.01, 0.999), help="Chance to find it.")
@click.option("--effect", type=float, help="Relative effect to find, such as 0.02; default: what the data can find.")
@_JSON
def power(algorithm: str, experiment: str, power: float, effect: float | None, as_json: bool) -> None:
    """How small an effect on each metric EXPERIMENT can find, by days; by the samples there are, whatever their arm.

    New units a day come from the arrival curve of the samples' units. Coverage and buckets of the declared experiment
    say how many of them it gets.
    """
    from ab.planning import duration

    declared, samples = _declared(algorithm, experiment)
    found = [duration(declared, name, samples, power=power, effect=effect) for name in declared.metrics]
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=1))
        return
    for one in found:
        click.echo(str(one))


@click.command("aa")
@click.argument("algorithm")
@click.argument("experiment")
@click.option("--seeds", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Salts to try.")
@click.option("--replays", default=200, show_default=True, type=click.IntRange(20, 10_000), help="AA tests to replay.")
@_JSON
def aa(algorithm: str, experiment: str, seeds: int, replays: int, as_json: bool) -> None:
    """Search a salt whose arms were alike before, and replay AA tests: their p-values must be uniform.

    The salt with the smallest maximal standardised difference of the metrics over the samples there are; a test by
    permutation over the other salts says whether that is good luck. Write it into the experiment's `salt`.
    """
    from ab.grouping import replayed, search

    declared, samples = _declared(algorithm, experiment)
    chosen = search(declared, samples, [f"{declared.experiment}:{number}" for number in range(seeds)])
    tested = replayed(declared, samples, [f"aa:{number}" for number in range(replays)])
    if as_json:
        click.echo(json.dumps({"search": chosen.to_json(), "replayed": [one.to_json() for one in tested]}, indent=1))
    else:
        click.echo(str(chosen))
        for one in tested:
            click.echo(str(one))
    if any(not one.uniform for one in tested):
        raise click.exceptions.Exit(1)


def _declared(algorithm: str, experiment: str) -> tuple[Experiment, pl.LazyFrame]:
    from saima.features import load
    from saima.routing.checks import checked_experiments
    from saima.stores import open_tables

    found = checked_experiments(load(algorithm, settings().algorithms))
    declared = found.of(experiment, algorithm)
    if not declared.experiment.metrics:
        raise SaimaError(f"experiment '{experiment}' declares no metric; there is nothing to plan for")
    tables, samples = open_tables(settings()), f"{algorithm}/samples"
    if not tables.exists(samples):
        raise SaimaError(f"there are no samples of '{algorithm}' under {settings().home}; `saima up` makes some")
    return declared.experiment, tables.scan(samples)
