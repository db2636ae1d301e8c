"""`saima ab start|ramp|stop`: changes of running experiments, each an epoch of the deployment and a mark."""

from __future__ import annotations

import getpass
import json
import time
from typing import TYPE_CHECKING, Any

import click

from saima.errors import SaimaError
from saima.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from saima.routing.deployment import AlgorithmState, Transition
    from saima.routing.experiments import Experiment
    from saima.routing.running import Change
    from saima.stores.interfaces import Registry

MARK = "experiment"
"""Kind of the registry's marks that are the history of experiments."""

_FORCE = click.option("--force", is_flag=True, help="Even if units move; it says how many.")
_REASON = click.option("--reason", default="", help="Why; it stays in the history.")
_JSON = click.option("--json", "as_json", is_flag=True, help="What was changed, for a program.")


@click.command("start")
@click.argument("algorithm")
@click.argument("experiment")
@_FORCE
@_REASON
@_JSON
def start(algorithm: str, experiment: str, force: bool, reason: str, as_json: bool) -> None:
    """Run EXPERIMENT of ALGORITHM as its file declares it, or change a running one to that.

    Refused where units would change arm or leave one, where buckets overlap or are in quarantine, and where a lineage
    routes nothing. The coverage of a running experiment stays where its ramp has come.
    """
    from saima.features import load
    from saima.routing import running
    from saima.routing.checks import checked_experiments

    found = checked_experiments(load(algorithm, settings().algorithms))
    declared = found.of(experiment, algorithm)
    now = _now()

    def wanted(state: AlgorithmState) -> Experiment:
        return running.as_declared(state, declared.experiment)

    _make(
        algorithm,
        experiment,
        "start",
        lambda state: running.start(
            algorithm, running.as_declared(state, declared.experiment), found.layout, now, force
        ),
        lambda state: running.change(state, experiment, running.as_declared(state, declared.experiment), found.layout),
        (force, reason, as_json),
    )


@click.command("ramp")
@click.argument("algorithm")
@click.argument("experiment")
@click.argument("coverage", type=float, required=False)
@_FORCE
@_REASON
@_JSON
def ramp(algorithm: str, experiment: str, coverage: float | None, force: bool, reason: str, as_json: bool) -> None:
    """Set EXPERIMENT's COVERAGE (percent); without it, the one that its declared ramp has come to by now.

    Only coverage moves, so nobody changes arm. Less than now takes units out of their arms and is refused.
    """
    from saima.routing import running
    from saima.routing.layout import altered

    now = _now()

    def wanted(state: AlgorithmState) -> float:
        if coverage is not None:
            return coverage
        found = running.running(state, experiment)
        due = running.due_coverage(found, state.started.get(experiment, now), now)
        if due is None:
            left = ", ".join(f"{phase.coverage:g} %" for phase in found.ramp) or "none"
            raise SaimaError(f"no phase of '{experiment}' is due beyond {found.coverage:g} %; phases to come: {left}")
        return due

    _make(
        algorithm,
        experiment,
        "ramp",
        lambda state: running.ramp(algorithm, experiment, wanted(state), force),
        lambda state: running.change(
            state, experiment, altered(running.running(state, experiment), coverage=wanted(state), ramp=[])
        ),
        (force, reason, as_json),
    )


@click.command("stop")
@click.argument("algorithm")
@click.argument("experiment")
@click.option("--promote", metavar="ARM", help="Make the arm's lineage the default in the same epoch.")
@_REASON
@_JSON
def stop(algorithm: str, experiment: str, promote: str | None, reason: str, as_json: bool) -> None:
    """End EXPERIMENT; its buckets stay empty for the layout's quarantine."""
    from saima.features.durations import milliseconds
    from saima.routing import running

    now = _now()

    def effect(state: AlgorithmState) -> Change:
        one = running.running(state, experiment)
        ran, least = now - state.started.get(experiment, now), milliseconds(one.minimum_duration)
        if ran < least:
            click.echo(
                f"'{experiment}' has run {ran / 3_600_000:.1f} h of at least {one.minimum_duration}: its report "
                "decides nothing yet",
                err=True,
            )
        return running.change(state, experiment, None)

    _make(
        algorithm,
        experiment,
        "stop",
        lambda _: running.stop(algorithm, experiment, now, promote),
        effect,
        (True, reason or (f"promotes {promote}" if promote else ""), as_json),
    )


def _make(
    algorithm: str,
    name: str,
    action: str,
    transition: Callable[[AlgorithmState], Transition],
    effect: Callable[[AlgorithmState], Change],
    options: tuple[bool, str, bool],
) -> None:
    """Write a change as one epoch and a mark; where it is refused, say how many units it would move."""
    from saima.routing.deployment import read_document, write
    from saima.routing.running import Refused
    from saima.stores import open_registry

    force, reason, as_json = options
    registry = open_registry()
    before = registry.deployment()
    state = read_document(before.document).algorithms.get(algorithm)
    if state is None:
        known = ", ".join(sorted(read_document(before.document).algorithms)) or "nothing yet"
        raise SaimaError(f"nothing of '{algorithm}' is deployed; deployed: {known}")
    found = effect(state)
    moved = _moved(algorithm, found) if found.moves.total > 0 else None
    try:
        written = write(
            registry,
            lambda current: transition(current.algorithms.get(algorithm, state))(current),
            getpass.getuser(),
            reason or f"saima ab {action} {algorithm} {name}",
        )
    except Refused as error:
        raise Refused(f"{error}{_seen(moved)}") from error
    after = next(
        (one for one in read_document(written.document).algorithms[algorithm].experiments if one.experiment == name),
        None,
    )
    told = {
        "algorithm": algorithm,
        "experiment": name,
        "action": action,
        "epoch": written.epoch,
        "changed": written.epoch != before.epoch,
        "coverage": after.coverage if after else None,
        "moved": {"between_arms": found.moves.between, "out_of_arms": found.moves.out, **(moved or {})},
        "forced": force and action != "stop" and found.moves.total > 0,
        "reason": reason,
    }
    _record(registry, {**told, "author": getpass.getuser()})
    if as_json:
        click.echo(json.dumps(told))
        return
    state_now = f"at {after.coverage:g} %" if after else "ended"
    same = "" if told["changed"] else ", as before"
    click.echo(f"epoch {written.epoch}: {algorithm}/{name} {state_now}{same}; {found.moves}{_seen(moved)}")


def _record(registry: Registry, told: dict[str, Any]) -> None:
    if told["changed"]:
        registry.append_mark(MARK, told)


def _moved(algorithm: str, found: Change) -> dict[str, int] | None:
    """Units of the journal that had an arm, and how many of them the change moves; None where there is no journal."""
    from ab import exposure
    from saima.routing.batch import assigned
    from saima.stores import open_tables

    tables, journal = open_tables(settings()), f"{algorithm}/journal"
    if found.before is None or not tables.exists(journal):
        return None
    seen = exposure.units(exposure.from_journal(tables.scan(journal), found.before.experiment)).frame
    if found.after is None:
        return {"units_seen": seen.height, "units_moved": seen.height}
    changed = [
        name for name, arm in found.before.arms.items() if _means(found.after, name) != (arm.lineage, arm.parameters)
    ]
    after = assigned(found.after, seen["unit"], found.layout)
    moved = (after != seen["arm"]) | seen["arm"].is_in(changed)
    return {"units_seen": seen.height, "units_moved": int(moved.sum())}


def _means(experiment: Experiment, arm: str) -> tuple[Any, Any] | None:
    found = experiment.arms.get(arm)
    return None if found is None else (found.lineage, found.parameters)


def _seen(moved: dict[str, int] | None) -> str:
    return "" if moved is None else f"; of {moved['units_seen']:,} units in the journal {moved['units_moved']:,}"


def _now() -> int:
    return time.time_ns() // 1_000_000
