"""The table of effects: one row a metric and arm, which on a phone becomes a card."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ab.effects import Effect
from ab.report.charts import interval
from ab.report.findings import Report
from ab.report.slices import reach_of
from ab.wording import number, p_value, percent, signed, words

_OUTCOMES = {
    "better": ("good", "better"),
    "worse": ("bad", "worse"),
    "safe": ("good", "within margin"),
    "unclear": ("", "no clear difference"),
    "none": ("", "no result"),
}


def effects(report: Report) -> str:
    """The section of the page on primary and secondary metrics; nothing where none is declared."""
    level = f"{100 * (1 - report.experiment.analysis.alpha):g} %"
    note = f"Against {escape(report.control)}, with {level} intervals; p corrected for the number of comparisons."
    if not report.trusted:
        note += " <b>Not to be believed until the failed trust check is explained.</b>"
    saved = [effect for effect in report.effects if effect.saved is not None]
    if saved:
        shares = ", ".join(f"{escape(words(each.metric))} {percent(each.saved)}" for each in saved[:6])
        note += f" Covariates from before the exposure took away this much of the variance: {shares}."
    return _section(report, "Effects", note, [each for each in report.effects if each.declared.role != "guardrail"])


def guardrails(report: Report) -> str:
    """The section on guardrails; nothing where none is declared."""
    note = "What must not get worse. Within margin: even the worst plausible value is no worse than the margin allows."
    return _section(report, "Guardrails", note, [each for each in report.effects if each.declared.role == "guardrail"])


def _section(report: Report, title: str, note: str, shown: Sequence[Effect]) -> str:
    if not shown:
        return ""
    estimates = [effect.estimate for effect in shown if effect.estimate is not None]
    reach = reach_of(estimates)
    bars = any(estimate.relative_interval for estimate in estimates)
    many = len(report.arms) > 2
    rows = "".join(_effect(effect, reach, report.control, many) for effect in shown)
    head = "<th>Metric</th>" + ("<th>Arm</th>" if many else "")
    pair = (report.control, "Arm" if many else shown[0].arm)
    head += "".join(f'<th class="number">{escape(name)}</th>' for name in pair)
    head += (
        '<th class="number">Difference</th>'
        f"<th>Relative{f', −{percent(reach)} to +{percent(reach)}' if bars else ''}</th>"
        "<th class=number>p</th><th>Conclusion</th>"
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<section><h2>{title}</h2><p>{note}</p>{table}</section>"


def _effect(effect: Effect, reach: float, control: str, many: bool) -> str:
    role = f"{effect.declared.role}, {effect.declared.direction} is better"
    if effect.declared.margin is not None:
        role += f", margin {number(effect.declared.margin)}"
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
