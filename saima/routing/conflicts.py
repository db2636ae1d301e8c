"""What experiments may not share: a name, buckets of a layer, parameters and lineages of layers that meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saima.routing.experiments import Experiment
from saima.routing.layout import Freed, Layout, overlap


@dataclass(frozen=True)
class Clash:
    """Experiment number `index` does not go with number `other` (None: with the layout); `path` is the field."""

    message: str
    index: int
    path: tuple[str | int, ...]
    other: int | None = None


def clashes(experiments: Sequence[Experiment], layout: Layout) -> Iterator[Clash]:
    """Every pair that does not go together, the later one blamed, in order."""
    for index, one in enumerate(experiments):
        yield from _with_layout(index, one, layout)
        for other, earlier in enumerate(experiments[:index]):
            for message, path in _pair(one, earlier, layout):
                yield Clash(message, index, path, other)


def in_quarantine(experiment: Experiment, freed: Sequence[Freed], now: int) -> Freed | None:
    """The range that an ended experiment has left, which is still empty and which this one would take."""
    held = (one for one in freed if one.layer == experiment.layer and one.until > now)
    return next((one for one in held if overlap(one.buckets, experiment.buckets)), None)


def _with_layout(index: int, one: Experiment, layout: Layout) -> Iterator[Clash]:
    layer = layout.layer(one.layer)
    if layer.joint and one.unit != layer.unit:
        message = f"the joint layer '{one.layer}' splits by '{layer.unit}', not by '{one.unit}'"
        yield Clash(f"{message}: device and host must agree", index, ("unit",))
    if layer.joint and one.eligibility is not None:
        message = f"an experiment of the joint layer '{one.layer}' has no eligibility"
        yield Clash(f"{message}: a device would judge by other fields than the host", index, ("eligibility",))


def _pair(one: Experiment, earlier: Experiment, layout: Layout) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    named = f"'{earlier.experiment}'"
    if one.experiment == earlier.experiment:
        yield f"the experiment {named} is declared twice; names differ", ("experiment",)
        return
    if one.layer == earlier.layer:
        if shared := overlap(one.buckets, earlier.buckets):
            yield (
                f"buckets {list(one.buckets)} overlap those of experiment {named}, {list(earlier.buckets)}, "
                f"in {list(shared)}; experiments of the layer '{one.layer}' take disjoint ranges",
                ("buckets",),
            )
        if one.unit != earlier.unit:
            yield (
                f"experiments of the layer '{one.layer}' split by one unit, {named} by '{earlier.unit}', this one by "
                f"'{one.unit}': the same traffic would be in both",
                ("unit",),
            )
        return
    if not layout.meet(one.layer, earlier.layer):
        return
    if layout.layer(one.layer).launch == layout.layer(earlier.layer).launch:
        yield from _parameters(one, earlier)
    lineages = {arm.lineage for each in (one, earlier) for arm in each.arms.values() if arm.lineage is not None}
    choosing = [any(arm.lineage is not None for arm in each.arms.values()) for each in (one, earlier)]
    if len(lineages) > 1 and all(choosing):
        arm = next(name for name, arm in one.arms.items() if arm.lineage is not None)
        yield (
            f"the layers '{one.layer}' and '{earlier.layer}' of experiment {named} both choose the lineage; let the "
            "arms of one of them name none",
            ("arms", arm, "lineage"),
        )


def _parameters(one: Experiment, earlier: Experiment) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    taken = {name for arm in earlier.arms.values() for name in arm.parameters}
    for arm, declared in one.arms.items():
        for name in declared.parameters:
            if name in taken:
                taken.discard(name)
                yield (
                    f"the parameter '{name}' belongs to the layer '{earlier.layer}' of experiment "
                    f"'{earlier.experiment}'; a parameter is of one layer, so put both experiments into that layer, in "
                    "disjoint buckets",
                    ("arms", arm, "parameters", name),
                )
