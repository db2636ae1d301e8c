"""Which rows a prediction and its labels make under each scheme of delayed feedback, as one pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Scheme = Literal["once", "waited", "fnw", "fnc", "esdfm", "defer", "dfm"]
Role = Literal["observed", "assumed_negative", "correction", "real_positive", "real_negative"]


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """How labels are joined; all times in ms of event time.

    valued: the label is a number of the outcome (a delay), not the fact that it came (a click);
    additive: rows carry the sum of the labels' values; exposed: only exposed candidates make rows.
    """

    scheme: Scheme
    attribution: int
    wait: int = 0
    lateness: int = 0
    valued: bool = False
    additive: bool = False
    exposed: bool = False

    @property
    def immediate(self) -> bool:
        """A row is made when its label comes, since no earlier label is promised to be waited for."""
        return self.scheme == "once" and self.lateness == 0


class Label(NamedTuple):
    """What happened: event time, tie-breakers, value, and when and where the log took it in."""

    time: int
    seq: int
    offset: int
    value: float
    appended: int


class Row(NamedTuple):
    """A row to emit once its moment is below the watermark; `of` is the label that made it, if one did."""

    moment: int
    label: float
    role: Role
    of: Label | None = None
    value: float | None = None


def rows(spec: JoinSpec, time: int, labels: Sequence[Label], exposure: int | None = None) -> list[Row]:
    """Rows of one candidate predicted at `time`, oldest moment first.

    Labels may come in any order. Wait and attribution are inclusive; a label without an exposure counts as exposed.
    A prefix of the rows, those below the watermark, is final.

    >>> spec = JoinSpec("esdfm", attribution=60, wait=10)
    >>> [(row.moment, row.label, row.role) for row in rows(spec, 0, [Label(30, 0, 1, 1.0, 0)])]
    [(10, 0.0, 'assumed_negative'), (30, 1.0, 'correction')]
    """
    end = time + spec.attribution
    inside = [label for label in labels if time <= label.time <= end]
    first = min(inside) if inside else None
    if not (spec.exposed or spec.additive):
        return _rows(spec, time, end, first)
    seen = time
    if spec.exposed:
        moments = [moment for moment in (exposure, first.time if first else None) if moment is not None]
        seen = min(moments, default=end + 1)
        if seen > end:
            return []
    made = _rows(spec, time, end, first)
    return [
        Row(
            max(row.moment, seen),
            row.label,
            row.role,
            row.of,
            float(sum(label.value for label in inside if label.time <= row.moment)) if spec.additive else None,
        )
        for row in made
    ]


def _rows(spec: JoinSpec, time: int, end: int, first: Label | None) -> list[Row]:
    positive = (first.value if spec.valued else 1.0) if first else 0.0
    if spec.scheme == "once":
        return [Row(first.time, positive, "observed", first)] if first else []
    if spec.scheme == "waited":
        # A number that never came is not zero: such a prediction stays unlabelled.
        return [Row(end, positive, "observed", first)] if first or not spec.valued else []
    wait = min(time + (0 if spec.scheme in ("fnw", "fnc") else spec.wait), end)
    early = first is not None and first.time <= wait
    made = [Row(wait, positive, "observed", first) if early else Row(wait, 0.0, "assumed_negative")]
    if first and not early:
        made.append(Row(first.time, positive, "correction", first))
    elif spec.scheme == "defer":
        made.append(Row(end, positive, "real_positive" if first else "real_negative", first))
    return made
