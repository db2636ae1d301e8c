"""The primary metric by segment, with a test of whether the segments differ at all: exploration, never the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from ab import multiplicity
from ab.cube import Cube
from ab.effects import compare
from ab.estimates import Estimate, NoResult
from saima.routing.experiments import Analysis


@dataclass(frozen=True, slots=True)
class Slice:
    """The effect among the units of one value of a segment; `estimate` None: `reason` says why there is none."""

    value: str
    estimate: Estimate | None
    reason: str = ""
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """A test of whether effects are equal: Cochran's Q over the slices (chi-square, slices - 1 degrees)."""

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One metric of one arm by the values of a segment, and the interaction; NoResult where fewer than two compare."""

    name: str
    metric: str
    arm: str
    slices: tuple[Slice, ...]
    interaction: Interaction | NoResult
    p_adjusted: float | None = None


def by_segment(
    cube: Cube, metric: str, arms: tuple[str, str], analysis: Analysis, names: Sequence[str] | None = None
) -> list[Segment]:
    """Segments of (control, treatment). p-values are adjusted by Benjamini-Hochberg: within a segment those of its
    slices, and over segments those of the interactions."""
    found = [_segment(cube, name, metric, arms, analysis) for name in (cube.segments if names is None else names)]
    tested = [each.interaction.p_value for each in found if isinstance(each.interaction, Interaction)]
    adjusted = iter(multiplicity.adjust(tested, "bh"))
    return [
        Segment(each.name, each.metric, each.arm, each.slices, each.interaction, next(adjusted))
        if isinstance(each.interaction, Interaction)
        else each
        for each in found
    ]


def interaction(estimates: Sequence[Estimate]) -> Interaction | NoResult:
    """Cochran's Q: squared distances of independent effects from their weighted mean, over their variances."""
    if len(estimates) < 2:
        return NoResult("fewer than two of its values can be compared")
    weights = [1 / each.se**2 for each in estimates]
    centre = sum(w * each.effect for w, each in zip(weights, estimates, strict=True)) / sum(weights)
    statistic = sum(w * (each.effect - centre) ** 2 for w, each in zip(weights, estimates, strict=True))
    degrees = len(estimates) - 1
    return Interaction(statistic, degrees, float(stats.chi2.sf(statistic, degrees)))


def _segment(cube: Cube, name: str, metric: str, arms: tuple[str, str], analysis: Analysis) -> Segment:
    moments = cube.by_segment(metric, name)
    compared = {
        value: compare(moments.get((value, arms[0])), moments.get((value, arms[1])), cube.metrics[metric], analysis)
        for value in cube.values(name)
    }
    known = [result for result in compared.values() if isinstance(result, Estimate)]
    adjusted = iter(multiplicity.adjust([each.p_value for each in known], "bh"))
    slices = tuple(
        Slice(value, result, "", next(adjusted)) if isinstance(result, Estimate) else Slice(value, None, result.reason)
        for value, result in compared.items()
    )
    return Segment(name, metric, arms[1], slices, interaction(known))
