"""Changes of what experiments run, as transitions of the deployment: start, ramp, stop; whom they would move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saima.errors import SaimaError
from saima.features.durations import milliseconds
from saima.routing.conflicts import clashes, in_quarantine
from saima.routing.deployment import AlgorithmState, Deployment, Transition
from saima.routing.experiments import Experiment
from saima.routing.layout import Freed, Layout, altered
from saima.routing.moves import Moves, moves


class Refused(SaimaError):
    """A change that would move units between arms, take them out of one, or use buckets that are in quarantine."""


@dataclass(frozen=True)
class Change:
    """What a change would do to one experiment: None before it starts, and after it has stopped.

    layout: what holds afterwards.
    """

    before: Experiment | None
    after: Experiment | None
    moves: Moves
    layout: Layout


def running(state: AlgorithmState, name: str) -> Experiment:
    """The running experiment of a name. Raises SaimaError naming those that run."""
    found = next((one for one in state.experiments if one.experiment == name), None)
    if found is None:
        known = ", ".join(one.experiment for one in state.experiments) or "none"
        raise SaimaError(f"no experiment '{name}' runs; running: {known}")
    return found


def change(state: AlgorithmState, name: str, after: Experiment | None, layout: Layout | None = None) -> Change:
    """What replacing the experiment of a name would move; layout: what holds from then on, None: as now."""
    before = next((one for one in state.experiments if one.experiment == name), None)
    holds = layout or state.layout
    return Change(before, after, moves(before, after, state.layout, holds), holds)


def as_declared(state: AlgorithmState, declared: Experiment) -> Experiment:
    """What a start would run: what is declared, with the coverage that the running one's ramp has come to."""
    before = next((one for one in state.experiments if one.experiment == declared.experiment), None)
    if before is None or before.coverage <= declared.coverage:
        return declared
    left = [phase for phase in declared.ramp if phase.coverage > before.coverage]
    return altered(declared, coverage=before.coverage, ramp=left)


def start(algorithm: str, wanted: Experiment, layout: Layout, now: int, force: bool = False) -> Transition:
    """Run an experiment, or run it as it is declared now, under the layout that is declared.

    Raises SaimaError for experiments that do not go together and for a lineage that routes nothing, which `force` does
    not mend, and Refused, unless forced, where units would move, or where the buckets are in quarantine. A forced
    change honours tokens of the split before it.
    """

    def apply(state: AlgorithmState) -> AlgorithmState:
        _refuse_unrouted(algorithm, wanted, state)
        others = [one for one in state.experiments if one.experiment != wanted.experiment]
        refuse_clashes([*others, wanted], layout)
        found = change(state, wanted.experiment, wanted, layout)
        if found.before is None and not force:
            _refuse_quarantine(wanted, state, now)
        if not force:
            _refuse_moves(found)
            _refuse_layout(state, layout, others)
        kept = _honouring(found.before, wanted, state.layout, layout)
        experiments = [kept if one.experiment == wanted.experiment else one for one in state.experiments]
        return altered(
            state,
            experiments=experiments if found.before else [*experiments, kept],
            layout=layout,
            started={**state.started, wanted.experiment: state.started.get(wanted.experiment, now)},
            freed=[one for one in state.freed if one.until > now],
        )

    return _of(algorithm, apply)


def ramp(algorithm: str, name: str, coverage: float, force: bool = False) -> Transition:
    """Set the coverage (percent) of a running experiment; weights stay, so nobody changes arm.

    Raises SaimaError where it does not run, or the coverage is none, and Refused, unless forced, for less coverage
    than now: that takes units out of their arms.
    """

    def apply(state: AlgorithmState) -> AlgorithmState:
        before = running(state, name)
        if not 0 <= coverage <= 100:
            raise SaimaError(f"a coverage of {coverage:g} is no share in percent, 0 to 100")
        after = altered(before, coverage=coverage, ramp=[one for one in before.ramp if one.coverage > coverage])
        if not force:
            _refuse_moves(change(state, name, after))
        experiments = [after if one.experiment == name else one for one in state.experiments]
        return altered(state, experiments=experiments)

    return _of(algorithm, apply)


def stop(algorithm: str, name: str, now: int, promote: str | None = None) -> Transition:
    """End a running experiment; its buckets are in quarantine for as long as the layout says.

    promote: the arm whose lineage becomes the default in the same epoch, so that its units see no change. Raises
    SaimaError where it does not run, or the arm has no lineage.
    """

    def apply(state: AlgorithmState) -> AlgorithmState:
        ended = running(state, name)
        if promote is not None and promote not in ended.arms:
            raise SaimaError(f"experiment '{name}' has no arm '{promote}'; its arms: {', '.join(ended.arms)}")
        lineage = None if promote is None else ended.arms[promote].lineage
        if promote is not None and lineage is None:
            raise SaimaError(
                f"the arm '{promote}' names no lineage to promote; what only sets parameters becomes the rule by their "
                "defaults in algorithm.yaml"
            )
        until = now + milliseconds(state.layout.quarantine)
        freed = Freed(experiment=name, layer=ended.layer, buckets=ended.buckets, until=until)
        return altered(
            state,
            experiments=[one for one in state.experiments if one.experiment != name],
            started={key: at for key, at in state.started.items() if key != name},
            freed=[*(one for one in state.freed if one.until > now), *([freed] if until > now else [])],
            default_lineage=lineage or state.default_lineage,
        )

    return _of(algorithm, apply)


def due_coverage(experiment: Experiment, started: int, now: int) -> float | None:
    """The coverage that the declared ramp has come to at `now` (ms UTC), where that is more than there is."""
    due = [phase.coverage for phase in experiment.ramp if phase.due(started) <= now]
    return due[-1] if due and due[-1] > experiment.coverage else None


def refuse_clashes(experiments: list[Experiment], layout: Layout) -> None:
    """Raise SaimaError for the first experiments that do not go together."""
    clash = next(clashes(experiments, layout), None)
    if clash is not None:
        raise SaimaError(f"experiment '{experiments[clash.index].experiment}': {clash.message}")


def _of(algorithm: str, apply: Callable[[AlgorithmState], AlgorithmState]) -> Transition:
    def transition(current: Deployment) -> Deployment:
        state = current.algorithms.get(algorithm)
        if state is None:
            known = ", ".join(sorted(current.algorithms)) or "nothing yet"
            raise SaimaError(f"nothing of '{algorithm}' is deployed; deployed: {known}")
        return Deployment(algorithms={**current.algorithms, algorithm: apply(state)})

    return transition


def _honouring(before: Experiment | None, after: Experiment, old: Layout, new: Layout) -> Experiment:
    if before is None:
        return after
    earlier, now = before.version(old.salt_of(before.layer)), after.version(new.salt_of(after.layer))
    known = dict.fromkeys([*before.honours, *after.honours, *([earlier] if earlier != now else [])])
    return altered(after, honours=list(known))


def _refuse_unrouted(algorithm: str, wanted: Experiment, state: AlgorithmState) -> None:
    for name, arm in wanted.arms.items():
        if arm.lineage is not None and (arm.lineage not in state.lineages or not state.lineages[arm.lineage].wanted):
            routed = ", ".join(key for key, one in state.lineages.items() if one.wanted) or "none"
            raise SaimaError(
                f"arm '{name}' of experiment '{wanted.experiment}' names the lineage '{arm.lineage}', which routes no "
                f"version; these do: {routed}. `saima deploy {algorithm}` lists what may be routed"
            )


def _refuse_quarantine(wanted: Experiment, state: AlgorithmState, now: int) -> None:
    held = in_quarantine(wanted, state.freed, now)
    if held is not None:
        hours = (held.until - now) / 3_600_000
        raise Refused(
            f"buckets {list(held.buckets)} of the layer '{held.layer}' are in quarantine for {hours:.1f} h more, since "
            f"experiment '{held.experiment}' ended in them; take others, wait, or force it"
        )


def _refuse_moves(found: Change) -> None:
    if found.before is not None and found.moves.total > 0:
        raise Refused(f"experiment '{found.before.experiment}': {found.moves}; force it if that is meant")


def _refuse_layout(state: AlgorithmState, layout: Layout, others: list[Experiment]) -> None:
    for one in others:
        found = moves(one, one, state.layout, layout)
        if found.total > 0:
            raise Refused(f"the new layout changes experiment '{one.experiment}': {found}; force it if that is meant")
