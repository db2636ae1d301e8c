"""The table of effects: one row a metric and arm, which on a phone becomes a card."""

from __future__ import annotations

from html import escape

from ab.effects import Effect
from ab.report.charts import interval
from ab.report.findings import Report
from ab.wording import number, p_value, percent, signed, words

_OUTCOMES = {
    "better": ("good", "better"),
    "worse": ("bad", "worse"),
    "safe": ("good", "within margin"),
    "unclear": ("", "no clear difference"),
    "none": ("", "no result"),
}


def effects(report: Report) -> str:
    """The section of the page; nothing where no metric is declared."""
    if not report.effects:
        return ""
    estimates = [effect.estimate for effect in report.effects if effect.estimate is not None]
    ends = [
        abs(value)
        for estimate in estimates
        for value in (estimate.relative_effect, estimate.relative_lower, estimate.relative_upper)
        if value is not None
    ]
    reach = max(ends, default=0.0) * 1.08 or 1.0
    many = len(report.arms) > 2
    rows = "".join(_effect(effect, reach, report.control, many) for effect in report.effects)
    head = "<th>Metric</th>" + ("<th>Arm</th>" if many else "")
    pair = (report.control, "Arm" if many else report.effects[0].arm)
    head += "".join(f'<th class="number">{escape(name)}</th>' for name in pair)
    head += (
        '<th class="number">Difference</th>'
        f"<th>Relative{f', −{percent(reach)} to +{percent(reach)}' if ends else ''}</th>"
        "<th class=number>p</th><th>Conclusion</th>"
    )
    level = f"{100 * (1 - report.experiment.analysis.alpha):g} %"
    note = f"Against {escape(report.control)}, with {level} intervals; p corrected for the number of comparisons."
    if not report.trusted:
        note += " <b>Not to be believed until the failed trust check is explained.</b>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<section><h2>Effects</h2><p>{note}</p>{table}</section>"


def _effect(effect: Effect, reach: float, control: str, many: bool) -> str:
    role = f"{effect.declared.role}, {effect.declared.direction} is better"
    cells = [f'<td class="name">{escape(words(effect.metric))}<small>{role}</small></td>']
    if many:
        cells.append(f'<td data-label="Arm">{escape(effect.arm)}</td>')
    tone, conclusion = _OUTCOMES[effect.outcome]
    estimate = effect.estimate
    if estimate is None:
        cells.append(f'<td colspan="5" data-label="No result">{escape(effect.reason)}</td>')
    else:
        bar = interval(estimate, reach, {"good": "#17703f", "bad": "#b3261e"}.get(tone, "#5c6b7a"))
        difference = (
            f"<span>{signed(estimate.effect)}<small>{percent(estimate.relative_effect, sign=True)}</small></span>"
        )
        bounds = f"{percent(estimate.relative_lower, sign=True)} to {percent(estimate.relative_upper, sign=True)}"
        if not estimate.relative_interval:
            bar, bounds = "", f"{number(estimate.lower)} to {number(estimate.upper)}"
        cells += [
            f'<td class="number" data-label="{escape(control)}">{number(estimate.control, 4)}</td>',
            f'<td class="number" data-label="{escape(effect.arm)}">{number(estimate.treatment, 4)}</td>',
            f'<td class="number" data-label="Difference">{difference}</td>',
            f'<td data-label="Interval"><span>{bar}<small>{bounds}</small></span></td>',
            f'<td class="number" data-label="p">{p_value(effect.p_adjusted)}</td>',
        ]
    cells.append(f'<td data-label="Conclusion"><span class="chip {tone}">{conclusion}</span></td>')
    return f"<tr>{''.join(cells)}</tr>"
