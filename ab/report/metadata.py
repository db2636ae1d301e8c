"""The report as an asset's metadata: words, tables and a plot that show in the orchestrator's UI."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from ab.estimates import NoResult
from ab.report.charts import COLOURS
from ab.report.findings import Report
from ab.report.markdown import Markdown, Metadata
from ab.report.slices import conclusion
from ab.wording import day as day_text
from ab.wording import moment, number, p_value, percent, signed, words


def metadata(report: Report) -> Metadata:
    """Verdict, trust, effects, arms, data position, and a plot where there is a trend."""
    position = report.position
    found: Metadata = {
        "verdict": report.verdict.headline,
        "because": Markdown(report.verdict.because),
        "code": report.verdict.code,
        "trusted": report.trusted,
        "trust": Markdown(_trust(report)),
        "arms": Markdown(_arms(report)),
        "samples": position.samples,
        "decisions": f"{moment(position.first)} to {moment(position.last)}",
    }
    if report.effects:
        found["effects"] = Markdown(_effects(report))
    for effect in report.effects:
        if effect.metric == report.primary and effect.estimate is not None:
            found[f"effect {effect.arm}"] = effect.estimate.effect
            found[f"p {effect.arm}"] = effect.estimate.p_value
    if position.offset is not None:
        found["position"] = position.offset
    if report.segments:
        found["segments"] = Markdown(_segments(report))
    if not isinstance(report.novelty, NoResult):
        found["effect's slope a day"] = report.novelty.slope
        found["p of the slope"] = report.novelty.p_value
    if report.penetration is not None:
        found["decisions with two arms"] = report.penetration.failures
    plots = []
    if any(arm.mean is not None for day in report.days for arm in day.arms):
        plots.append(f"![{words(report.primary)} by day](data:image/png;base64,{_plot(report)})")
    if any(day.so_far is not None for day in report.days):
        plots.append(f"![effect with all data up to each day](data:image/png;base64,{_settled(report)})")
    if plots:
        found["trend"] = Markdown("\n\n".join(plots))
    return found


def _effects(report: Report) -> str:
    rows = [
        "| metric | arm | control | arm's | difference | relative | interval | p | |",
        "|---|---|--:|--:|--:|--:|---|--:|---|",
    ]
    for effect in report.effects:
        estimate = effect.estimate
        if estimate is None:
            rows.append(f"| {words(effect.metric)} | {effect.arm} | | | | | {effect.reason} | | none |")
            continue
        bounds = f"{percent(estimate.relative_lower, sign=True)} to {percent(estimate.relative_upper, sign=True)}"
        rows.append(
            f"| {words(effect.metric)} ({effect.declared.role}) | {effect.arm} | {number(estimate.control, 4)} | "
            f"{number(estimate.treatment, 4)} | {signed(estimate.effect)} | "
            f"{percent(estimate.relative_effect, sign=True)} | {bounds} | {p_value(effect.p_adjusted)} | "
            f"{effect.outcome} |"
        )
    return "\n".join(rows)


def _segments(report: Report) -> str:
    rows = ["| segment | value | units | difference | interval | p | |", "|---|---|--:|--:|---|--:|---|"]
    for segment in report.segments:
        rows.append(f"| **{words(segment.name)}** | | | | | | {conclusion(segment, 0.05)} |")
        for each in segment.slices:
            if each.estimate is None:
                rows.append(f"| | {each.value} | | | | | {each.reason} |")
                continue
            units = each.estimate.n_control + each.estimate.n_treatment
            bounds = f"{number(each.estimate.lower)} to {number(each.estimate.upper)}"
            rows.append(
                f"| | {each.value} | {units:,} | {signed(each.estimate.effect)} | {bounds} | "
                f"{p_value(each.p_adjusted)} | |"
            )
    return "\n".join(rows)


def _trust(report: Report) -> str:
    rows = ["| check | | |", "|---|---|---|"]
    rows += [f"| {check.name} | **{check.status}** | {check.sentence} |" for check in report.checks]
    return "\n".join(rows)


def _arms(report: Report) -> str:
    rows = ["| arm | lineage | designed | exposed | with outcome | versions |", "|---|---|--:|--:|--:|--:|"]
    rows += [
        f"| {arm.name} | {arm.lineage} | {arm.weight:g} % | {arm.exposed:,} | {arm.units:,} | {arm.versions} |"
        for arm in report.arms
    ]
    return "\n".join(rows)


def _plot(report: Report) -> str:
    """PNG of the primary metric by arm and day, in base64."""

    def draw(axes: Any) -> None:
        for index, arm in enumerate(report.days[0].arms):
            values = [day.arms[index].mean for day in report.days]
            points = [(at, value) for at, value in enumerate(values) if value is not None]
            axes.plot([at for at, _ in points], [value for _, value in points], marker="o", markersize=3.5,
                      label=arm.arm, color=COLOURS[index % len(COLOURS)])  # fmt: skip
        axes.legend(frameon=False)

    return _png(report, words(report.primary).capitalize(), draw)


def _settled(report: Report) -> str:
    """PNG of the effect with all data up to each day, and its interval, in base64."""

    def draw(axes: Any) -> None:
        known = [(at, day.so_far) for at, day in enumerate(report.days) if day.so_far is not None]
        bounded = [(at, e.lower, e.upper) for at, e in known if e.lower is not None and e.upper is not None]
        if bounded:
            axes.fill_between(*zip(*bounded, strict=True), color=COLOURS[1], alpha=0.16, linewidth=0)
            settled = bounded[len(bounded) // 3 :]
            low, high = min(low for _, low, _ in settled), max(high for _, _, high in settled)
            axes.set_ylim(min(0, low) * 1.1, max(0, high) * 1.1)
        axes.plot([at for at, _ in known], [e.effect for _, e in known], marker="o", markersize=3.5, color=COLOURS[1])
        axes.axhline(0, color="#4a5561", linestyle="--", linewidth=1)

    return _png(report, f"Difference of {words(report.primary)} with all data up to each day", draw)


def _png(report: Report, title: str, draw: Callable[[Any], None]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    labels = [day_text(day.day) for day in report.days]
    step = max(1, len(labels) // 12 + 1)
    axes.set_xticks(range(0, len(labels), step), labels[::step])
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(axis="y", color="#e3e6ea")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
