"""Sections of the page on parts of the data: segments with the test that they differ, and a joint layer's matrix."""

from __future__ import annotations

from html import escape

from ab.estimates import Estimate, NoResult
from ab.report.charts import COLOURS, interval
from ab.report.findings import Report
from ab.segments import Segment, Slice
from ab.wording import number, p_value, percent, signed, words


def segments(report: Report) -> str:
    """One table a segment; nothing where none was planned."""
    if not report.segments:
        return ""
    first = report.segments[0]
    note = (
        f"{words(first.metric).capitalize()} of {escape(first.arm)} against {escape(report.control)}. Exploration: "
        "with many groups some differ by chance: read the test of the groups first. p corrected by Benjamini–Hochberg."
    )
    estimates = [each.estimate for one in report.segments for each in one.slices if each.estimate is not None]
    reach = reach_of(estimates)
    parts = "".join(_segment(one, reach, report.control) for one in report.segments)
    return f"<section><h2>Segments</h2><p>{note}</p>{parts}</section>"


def conclusion(segment: Segment, alpha: float) -> str:
    """The interaction in a sentence."""
    if isinstance(segment.interaction, NoResult):
        return f"Whether the effect differs cannot be tested: {segment.interaction.reason}."
    p = p_value(segment.p_adjusted)
    if segment.p_adjusted is not None and segment.p_adjusted < alpha:
        return f"The effect differs between these groups (interaction test, p {p})."
    return f"No sign that the effect differs between these groups (interaction test, p {p})."


def reach_of(estimates: list[Estimate]) -> float:
    """The scale of the bars: the furthest end of a relative interval."""
    ends = [
        abs(value)
        for each in estimates
        for value in (each.relative_effect, each.relative_lower, each.relative_upper)
        if value is not None
    ]
    return min(max(ends, default=0.0) * 1.08, 10.0) or 1.0


def _segment(segment: Segment, reach: float, control: str) -> str:
    rows = "".join(_slice(each, reach, control, segment.arm) for each in segment.slices)
    head = f'<th>{escape(words(segment.name).capitalize())}</th><th class="number">Units</th>'
    head += "".join(f'<th class="number">{escape(name)}</th>' for name in (control, segment.arm))
    head += '<th class="number">Difference</th><th>Interval</th><th class="number">p</th>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<h3>By {escape(words(segment.name))}</h3><p>{escape(conclusion(segment, 0.05))}</p>{table}"


def _slice(each: Slice, reach: float, control: str, arm: str) -> str:
    name = f'<td class="name">{escape(each.value)}</td>'
    found = each.estimate
    if found is None:
        return f'<tr>{name}<td colspan="6" data-label="No result">{escape(each.reason)}</td></tr>'
    bounds = f"{percent(found.relative_lower, sign=True)} to {percent(found.relative_upper, sign=True)}"
    bar = interval(found, reach, COLOURS[1])
    if not found.relative_interval:
        bar, bounds = "", f"{number(found.lower)} to {number(found.upper)}"
    cells = [
        f'<td class="number" data-label="Units">{found.n_control + found.n_treatment:,}</td>',
        f'<td class="number" data-label="{escape(control)}">{number(found.control)}</td>',
        f'<td class="number" data-label="{escape(arm)}">{number(found.treatment)}</td>',
        f'<td class="number" data-label="Difference"><span>{signed(found.effect)}'
        f"<small>{percent(found.relative_effect, sign=True)}</small></span></td>",
        f'<td data-label="Interval"><span>{bar}<small>{bounds}</small></span></td>',
        f'<td class="number" data-label="p">{p_value(each.p_adjusted)}</td>',
    ]
    return f"<tr>{name}{''.join(cells)}</tr>"


def penetration(report: Report) -> str:
    """Decisions by the device's arm and the cloud's; nothing where the layer is not a joint one."""
    found = report.penetration
    if found is None or not found.decisions:
        return ""
    names = [*found.arms, *(["none"] if any("none" in pair for pair in found.counts) else [])]
    head = "<th>Device</th>" + "".join(f'<th class="number">{escape(name)}</th>' for name in names)
    rows = "".join(
        f'<tr><td class="name">{escape(device)}</td>'
        + "".join(
            f'<td class="number{" off" if device != cloud and found.counts.get((device, cloud)) else ""}" '
            f'data-label="cloud {escape(cloud)}">{found.counts.get((device, cloud), 0):,}</td>'
            for cloud in names
        )
        + "</tr>"
        for device in names
    )
    note = (
        f"Decisions by the arm that the device used (rows) and the cloud (columns); off the diagonal the two disagree: "
        f"{found.failures:,} of {found.decisions:,} ({percent(found.failures / found.decisions)})."
    )
    return (
        f"<section><h2>Device and cloud</h2><p>{note}</p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )
