"""Inline SVG: an interval on a scale, arms day by day, the effect as it settled. No script, no outside address."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from ab.estimates import Estimate
from ab.trend import Day, Refresh
from ab.wording import day as day_text
from ab.wording import number, percent

COLOURS = ("#5c6b7a", "#0f6fbf", "#b4540a", "#7a3fc1", "#0b7a5c")
"""Control first, then the treatments in declared order."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area inside a picture of width x height pixels."""

    width: int
    height: int
    left: int = 50
    right: int = 22
    top: int = 12
    bottom: int = 26

    def x(self, index: int, count: int) -> float:
        """Place of the index-th of `count` columns; a single one stands in the middle."""
        span = self.width - self.left - self.right
        return self.left + (span / 2 if count == 1 else span * index / (count - 1))

    def scale(self, low: float, high: float) -> Callable[[float], float]:
        """Place of a value on the vertical axis."""
        span = self.height - self.top - self.bottom
        return lambda value: self.top + span * (high - value) / (high - low)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values that hold [low, high].

    >>> ticks(0.3, 9.2)
    [0.0, 2.5, 5.0, 7.5, 10.0]
    """
    if not high > low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def interval(estimate: Estimate, reach: float, colour: str) -> str:
    """The relative effect and its interval as a bar on a scale from -reach to reach, 0 in the middle."""
    width, height, middle = 220, 22, 11

    def place(value: float) -> float:
        return width / 2 + max(-1.0, min(1.0, value / reach)) * (width / 2 - 4)

    low = place(estimate.relative_lower if estimate.relative_lower is not None else -reach)
    high = place(estimate.relative_upper if estimate.relative_upper is not None else reach)
    point = place(estimate.relative_effect or 0.0)
    title = (
        f"{percent(estimate.relative_effect, sign=True)}, interval {percent(estimate.relative_lower, sign=True)} "
        f"to {percent(estimate.relative_upper, sign=True)}"
    )
    return (
        f'<svg class="interval" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f'<line x1="4" y1="{middle}" x2="{width - 4}" y2="{middle}" stroke="#e3e6ea"/>'
        f'<line x1="{width / 2}" y1="2" x2="{width / 2}" y2="{height - 2}" stroke="#9aa4af" stroke-dasharray="2 2"/>'
        f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke="{colour}" stroke-width="6" '
        f'stroke-opacity="0.35" stroke-linecap="round"/>'
        f'<circle cx="{point:.1f}" cy="{middle}" r="5" fill="{colour}"/></svg>'
    )


def arms_by_day(days: Sequence[Day], refreshes: Sequence[Refresh], frame: Frame, what: str) -> str:
    """Mean of each arm day by day; a mark under the axis where a new version started to answer."""
    values = [arm.mean for day in days for arm in day.arms if arm.mean is not None]
    if not values:
        return ""
    marks = ticks(min(values), max(values))
    place = frame.scale(marks[0], marks[-1])
    parts = [*_axes(frame, marks, place, [day.day for day in days], "{:g}".format)]
    for index, colour in zip(range(len(days[0].arms)), COLOURS, strict=False):
        points = [
            (frame.x(column, len(days)), place(day.arms[index].mean or 0.0), day, day.arms[index])
            for column, day in enumerate(days)
            if day.arms[index].mean is not None
        ]
        parts.append(_path([(x, y) for x, y, _, _ in points], colour))
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(arm.arm)}, {day_text(day.day)}: '
            f"{number(arm.mean)} over {arm.samples:,}</title></circle>"
            for x, y, day, arm in points
        ]
    parts += _refresh_marks(days, refreshes, frame)
    return _svg(frame, parts, f"{what} by arm and day")


def effect_so_far(days: Sequence[Day], frame: Frame, colour: str) -> str:
    """The effect of all data up to each day, with its interval, and 0; relative where it can be."""
    points = [(column, _relative(day.so_far)) for column, day in enumerate(days) if day.so_far is not None]
    known = [(column, point) for column, point in points if point is not None]
    if not known:
        return ""
    # The first looks are wide; they may leave the picture so that the later ones can be read.
    reach = max(max(abs(low), abs(high)) for _, (_, low, high) in known[len(known) // 3 :])
    marks = ticks(-reach, reach)
    place = frame.scale(marks[0], marks[-1])
    parts = [
        *_axes(frame, marks, place, [day.day for day in days], lambda value: f"{100 * value:g} %".replace("-", "−"))
    ]
    xs = [frame.x(column, len(days)) for column, _ in known]

    def clipped(value: float) -> float:
        return place(max(marks[0], min(marks[-1], value)))

    upper = [f"{x:.1f},{clipped(high):.1f}" for x, (_, (_, _, high)) in zip(xs, known, strict=True)]
    lower = [f"{x:.1f},{clipped(low):.1f}" for x, (_, (_, low, _)) in zip(xs, known, strict=True)]
    parts.append(f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="{colour}" fill-opacity="0.16"/>')
    parts.append(
        f'<line x1="{frame.left}" x2="{frame.width - frame.right}" y1="{place(0):.1f}" y2="{place(0):.1f}" '
        'stroke="#4a5561" stroke-dasharray="4 3"/>'
    )
    parts.append(_path([(x, clipped(effect)) for x, (_, (effect, _, _)) in zip(xs, known, strict=True)], colour))
    parts += [
        f'<circle cx="{x:.1f}" cy="{clipped(effect):.1f}" r="3" fill="{colour}">'
        f"<title>to {day_text(days[column].day)}: "
        f"{percent(effect, sign=True)} ({percent(low, sign=True)} to {percent(high, sign=True)})</title></circle>"
        for x, (column, (effect, low, high)) in zip(xs, known, strict=True)
    ]
    return _svg(frame, parts, "Relative difference with all data up to each day, with its interval")


def _relative(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None or estimate.relative_effect is None:
        return None
    low, high = estimate.relative_lower, estimate.relative_upper
    return None if low is None or high is None else (estimate.relative_effect, low, high)


def _axes(
    frame: Frame,
    marks: Sequence[float],
    place: Callable[[float], float],
    days: Sequence[str],
    text: Callable[[float], str],
) -> list[str]:
    rows = [
        f'<line x1="{frame.left}" x2="{frame.width - frame.right}" y1="{place(mark):.1f}" y2="{place(mark):.1f}" '
        f'stroke="#e3e6ea"/><text x="{frame.left - 6}" y="{place(mark) + 4:.1f}" text-anchor="end">{text(mark)}</text>'
        for mark in marks
    ]
    room = max(1, (frame.width - frame.left - frame.right) // 58)
    step = max(1, math.ceil(len(days) / room))
    rows += [
        f'<text x="{frame.x(column, len(days)):.1f}" y="{frame.height - 6}" text-anchor="middle">{day_text(day)}</text>'
        for column, day in enumerate(days)
        if column % step == 0
    ]
    return rows


def _refresh_marks(days: Sequence[Day], refreshes: Sequence[Refresh], frame: Frame) -> list[str]:
    if not days:
        return []
    shown = {arm.arm: colour for arm, colour in zip(days[0].arms, COLOURS, strict=False)}
    first = datetime.strptime(days[0].day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000
    last = datetime.strptime(days[-1].day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000
    span = frame.width - frame.left - frame.right
    base = frame.height - frame.bottom
    rows = []
    for refresh in refreshes:
        if refresh.arm in shown and last > first and first < refresh.time < last:
            x = frame.left + span * (refresh.time - first) / (last - first)
            rows.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base - 6}" stroke="{shown[refresh.arm]}" '
                f'stroke-opacity="0.7"><title>{escape(refresh.arm)}: version {escape(refresh.version)}</title></line>'
            )
    return rows


def _path(points: Sequence[tuple[float, float]], colour: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'


def _svg(frame: Frame, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
