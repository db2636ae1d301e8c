"""The report as one self-contained HTML page: the verdict first, then effects, trust, trend, arms, method, data."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files

from ab.report.charts import COLOURS, Frame, arms_by_day, effect_so_far
from ab.report.findings import Report
from ab.report.table import effects
from ab.verdict import Code
from ab.wording import moment, percent, signed, words

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
_WIDE, _NARROW = Frame(900, 260), Frame(360, 240, left=50, right=18)


def page(report: Report) -> str:
    """The page's text, UTF-8."""
    name = f"{report.algorithm} / {report.experiment.experiment}" if report.algorithm else report.experiment.experiment
    parts = [
        _head(report, name),
        _verdict(report),
        effects(report),
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
