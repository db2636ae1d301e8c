"""The report as one self-contained HTML page: the verdict first, then effects, trust, trend, arms, method, data."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files

from ab.effects import Effect
from ab.report.charts import COLOURS, Frame, arms_by_day, effect_so_far, interval
from ab.report.findings import Report
from ab.verdict import Code
from ab.wording import moment, number, p_value, percent, signed, words

_TONES: dict[Code, str] = {
    "better": "good",
    "worse": "bad",
    "harmful": "bad",
    "untrusted": "bad",
    "undecided": "open",
    "constant": "open",
    "no_data": "",
    "one_arm": "",
    "no_metric": "open",
}
_STATUS = {
    "pass": ("good", "passed"),
    "warn": ("open", "warning"),
    "fail": ("bad", "failed"),
    "unknown": ("", "no answer"),
}
_OUTCOMES = {
    "better": ("good", "better"),
    "worse": ("bad", "worse"),
    "safe": ("good", "within margin"),
    "unclear": ("", "no clear difference"),
    "none": ("", "no result"),
}
_WIDE, _NARROW = Frame(900, 260), Frame(360, 240, left=50, right=18)


def page(report: Report) -> str:
    """The page's text, UTF-8."""
    name = f"{report.algorithm} / {report.experiment.experiment}" if report.algorithm else report.experiment.experiment
    parts = [
        _head(report, name),
        _verdict(report),
        _effects(report),
        _trend(report),
        _trust(report),
        _arms(report),
        _method(report),
        _data(report),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.verdict.headline)} {escape(name)}</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(parts)}"
        f"<footer>Made by Saima, {moment(report.generated)}.</footer></main></body></html>\n"
    )


@cache
def _style() -> str:
    return (files("ab.report") / "style.css").read_text(encoding="utf-8")


def _head(report: Report, name: str) -> str:
    return f'<header><p class="path">Experiment <b>{escape(name)}</b> · {escape(report.experiment.owner)}</p></header>'


def _verdict(report: Report) -> str:
    tone = _TONES[report.verdict.code]
    hypothesis = report.experiment.hypothesis
    line = f'<p class="hypothesis">Hypothesis: {escape(hypothesis)}</p>' if hypothesis else ""
    return (
        f'<div class="verdict {tone}"><h1>{escape(report.verdict.headline)}</h1><p>{escape(report.verdict.because)}</p>'
        f"</div>{line}{_facts(report)}"
    )


def _facts(report: Report) -> str:
    facts = [(f"{sum(arm.units for arm in report.arms):,}", "units with an outcome")]
    first = next((effect for effect in report.effects if effect.metric == report.primary and effect.estimate), None)
    if first is not None and first.estimate is not None:
        estimate = first.estimate
        if estimate.relative_effect is not None:
            facts.append(
                (percent(estimate.relative_effect, sign=True), f"relative change of {escape(words(first.metric))}")
            )
        facts.append((signed(estimate.effect), f"change of {escape(words(first.metric))}, in its unit"))
    days = len(report.days)
    facts.append((str(days), "day of decisions" if days == 1 else "days of decisions"))
    return f'<div class="facts">{"".join(f"<div class=fact><b>{v}</b><span>{t}</span></div>" for v, t in facts)}</div>'


def _effects(report: Report) -> str:
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
    rows = "".join(_effect(effect, reach, many) for effect in report.effects)
    head = "<th>Metric</th>" + ("<th>Arm</th>" if many else "")
    pair = (report.control, "Arm" if many else report.effects[0].arm)
    head += "".join(f'<th class="number">{escape(name)}</th>' for name in pair)
    head += (
        '<th class="number">Difference</th>'
        f"<th>Relative, −{percent(reach)} to +{percent(reach)}</th><th class=number>p</th><th>Conclusion</th>"
    )
    level = f"{100 * (1 - report.experiment.analysis.alpha):g} %"
    note = f"Against {escape(report.control)}, with {level} intervals; p corrected for the number of comparisons."
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<section><h2>Effects</h2><p>{note}</p>{table}</section>"


def _effect(effect: Effect, reach: float, many: bool) -> str:
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
            f'<td class="number" data-label="Control">{number(estimate.control, 4)}</td>',
            f'<td class="number" data-label="Arm">{number(estimate.treatment, 4)}</td>',
            f'<td class="number" data-label="Difference">{difference}</td>',
            f'<td data-label="Interval"><span>{bar}<small>{bounds}</small></span></td>',
            f'<td class="number" data-label="p">{p_value(effect.p_adjusted)}</td>',
        ]
    cells.append(f'<td data-label="Conclusion"><span class="chip {tone}">{conclusion}</span></td>')
    return f"<tr>{''.join(cells)}</tr>"


def _trend(report: Report) -> str:
    if not report.days:
        return ""
    arms = [arm.arm for arm in report.days[0].arms]
    what = words(report.primary)
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{escape(arm)}</span>'
        for arm, colour in zip(arms, COLOURS, strict=False)
    )
    charts = _both(lambda frame: arms_by_day(report.days, report.refreshes, frame, what))
    settled = _both(lambda frame: effect_so_far(report.days, frame, COLOURS[1]))
    if not charts:
        return ""
    note = "Days of the decision, UTC. Marks on the axis are new versions: a refresh does not end an experiment."
    rest = (
        f"<h3>Difference with all data up to each day, relative to {escape(arms[0])}</h3>{settled}" if settled else ""
    )
    return (
        f"<section><h2>Day by day</h2><p>{note}</p><h3>{escape(what.capitalize())}</h3>"
        f'<div class="legend">{legend}</div>{charts}{rest}</section>'
    )


def _both(draw: object) -> str:
    assert callable(draw)
    wide, narrow = draw(_WIDE), draw(_NARROW)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>' if wide else ""


def _trust(report: Report) -> str:
    rows = "".join(
        f'<li><span class="chip {_STATUS[check.status][0]}">{_STATUS[check.status][1]}</span>'
        f"<b>{escape(check.name)}</b><p>{escape(check.sentence)}</p></li>"
        for check in report.checks
    )
    return (
        "<section><h2>Trust</h2><p>Asked before the effects; one failed check overrules them.</p>"
        f'<ul class="checks">{rows}</ul></section>'
    )


def _arms(report: Report) -> str:
    rows = "".join(
        f'<tr><td class="name">{escape(arm.name)}{" (control)" if arm.name == report.control else ""}</td>'
        f'<td data-label="Lineage"><code>{escape(arm.lineage)}</code></td>'
        f'<td data-label="Parameters"><code>{escape(json.dumps(dict(arm.parameters)))}</code></td>'
        f'<td class="number" data-label="Designed">{arm.weight:g} %</td>'
        f'<td class="number" data-label="Units exposed">{arm.exposed:,}</td>'
        f'<td class="number" data-label="With outcome">{arm.units:,}</td>'
        f'<td class="number" data-label="Versions">{arm.versions:,}</td></tr>'
        for arm in report.arms
    )
    head = "<th>Arm</th><th>Lineage</th><th>Parameters</th>" + "".join(
        f'<th class="number">{text}</th>' for text in ("Designed", "Units exposed", "With outcome", "Versions")
    )
    return f"<section><h2>Arms</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>"


def _method(report: Report) -> str:
    analysis = report.experiment.analysis
    fixed = analysis.method == "fixed"
    looks = (
        "Welch's test of one planned look; looking every day and stopping at the first good one would not be fair."
        if fixed
        else "An asymptotic confidence sequence (Waudby-Smith et al.): valid at every look, so looking daily is free."
    )
    rows = [
        ("Unit", f"<code>{escape(report.experiment.unit)}</code>, split by the hash of layer and experiment"),
        ("Interval", f"{100 * (1 - analysis.alpha):g} %. {looks}"),
        ("Means", "Ratio of unit sums with the delta method, by tea-tasting; relative intervals on the log scale."),
        ("Corrections", "Holm among primary metrics and guardrails; Benjamini–Hochberg among secondary metrics."),
        *(
            (escape(words(name)), f"<code>{escape(declared.value)}</code>")
            for name, declared in report.experiment.metrics.items()
        ),
    ]
    return f"<section><h2>Method</h2><dl>{''.join(f'<dt>{a}</dt><dd>{b}</dd>' for a, b in rows)}</dl></section>"


def _data(report: Report) -> str:
    position = report.position
    rows = [
        ("Decisions", f"{moment(position.first)} to {moment(position.last)}"),
        ("Newest outcome", moment(position.newest_label)),
        (
            "Samples",
            f"{position.samples:,}; {position.immature:,} more are too young: not all outcomes of their age are in",
        ),
        ("Log position", "–" if position.offset is None else f"{position.offset:,}"),
        ("Generated", moment(report.generated)),
    ]
    rows += [
        (
            f"Most unlike before: {escape(words(row.name))}",
            f"{signed(row.value, 2)} standard deviations, {escape(row.arm)}",
        )
        for row in report.differences[:3]
    ]
    return f"<section><h2>Data</h2><dl>{''.join(f'<dt>{a}</dt><dd>{b}</dd>' for a, b in rows)}</dl></section>"
