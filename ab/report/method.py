"""Sections of the page on how and of what the report was made."""

from __future__ import annotations

from html import escape

from ab.plan import BEFORE
from ab.population import BEFORE_DAYS
from ab.report.findings import Report
from ab.wording import moment, percent, signed, words


def method(report: Report) -> str:
    """Unit, intervals, corrections, the plan, and each metric as declared."""
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
        *_plan(report),
        ("Corrections", "Holm among primary metrics and guardrails; Benjamini–Hochberg among secondary metrics."),
        *(
            (escape(words(name)), f"<code>{escape(declared.value)}</code>")
            for name, declared in report.experiment.metrics.items()
        ),
    ]
    return f"<section><h2>Method</h2><dl>{''.join(f'<dt>{a}</dt><dd>{b}</dd>' for a, b in rows)}</dl></section>"


def _plan(report: Report) -> list[tuple[str, str]]:
    plan, rows = report.plan, []
    if plan.covariates:
        itself = f"its own {BEFORE_DAYS} days before"
        how = ", ".join(
            f"{escape(words(name))} by {itself if what == BEFORE else f'<code>{escape(what)}</code>'}"
            for name, what in plan.covariates.items()
        )
        rows.append(("Covariates", f"CUPED, the weight from all arms together: {how}."))
    if plan.winsorise:
        how = ", ".join(f"{escape(words(name))} {percent(share)}" for name, share in plan.winsorise.items())
        rows.append(("Caps", f"Unit values above the quantile of all arms together are set to it: {how}."))
    if plan.minimum_days:
        rows.append(("Least duration", f"{plan.minimum_days} days"))
    return rows


def data(report: Report) -> str:
    """Which data: decisions, outcomes, log position."""
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
