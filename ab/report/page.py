"""The report as one self-contained HTML page: verdict, trust, effects, guardrails, trend, segments, arms, method."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files

from ab.estimates import NoResult
from ab.report.charts import COLOURS, Frame, arms_by_day, effect_so_far
from ab.report.findings import Report
from ab.report.method import data, method
from ab.report.slices import penetration, segments
from ab.report.table import effects, guardrails
from ab.verdict import Code
from ab.wording import moment, p_value, percent, signed, words

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
TREND = 0.01
"""p-value of the slope below which the effect is said to move."""

_WIDE, _NARROW = Frame(900, 260), Frame(360, 240, left=50, right=18)


def page(report: Report) -> str:
    """The page's text, UTF-8."""
    name = f"{report.algorithm} / {report.experiment.experiment}" if report.algorithm else report.experiment.experiment
    parts = [
        _head(report, name),
        _verdict(report),
        _trust(report),
        effects(report),
        guardrails(report),
        _trend(report),
        segments(report),
        penetration(report),
        _arms(report),
        method(report),
        data(report),
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
        f'<div class="legend">{legend}</div>{charts}{rest}<p class="after">{escape(_stability(report))}</p></section>'
    )


def _stability(report: Report) -> str:
    found = report.novelty
    if isinstance(found, NoResult):
        return f"Whether the effect wears off cannot be tested: {found.reason}."
    slope = f"{signed(found.slope)} a day, p {p_value(found.p_value)}"
    if found.p_value < TREND:
        return f"The effect moves from day to day ({slope}): novelty, or something that changed; read the newest days."
    return f"No sign of novelty: the effect of single days has no trend ({slope})."


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
