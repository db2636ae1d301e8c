"""Plots as Markdown images: SVGs written directly, since a plotting library's import would delay every retrain."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 240, 52, 12, 34, 36
_INK, _FAINT, _COLORS = "#1f2937", "#e5e7eb", ("#2563eb", "#f59e0b", "#10b981", "#ef4444")


def by_day(frame: pl.DataFrame, title: str) -> dg.MarkdownMetadataValue:
    """Rows by their `day`."""
    counts = frame.group_by("day").len().sort("day")
    return _columns(f"{title} by day", counts["day"].str.slice(5).to_list(), counts["len"].to_list(), "rows")


def distribution(values: NDArray[np.float64], title: str, unit: str) -> dg.MarkdownMetadataValue:
    """Histogram of the finite values between their 0.5 and 99.5 percentiles."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return _columns(f"{title}: no values", [], [], unit)
    low, high = np.percentile(finite, [0.5, 99.5])
    counts, edges = np.histogram(finite, bins=48, range=_spread(low, high))
    return _columns(f"{title}, {unit}", [f"{edge:.4g}" for edge in edges[:-1]], counts.tolist(), "rows")


def calibration(label: NDArray[np.float64], scores: Mapping[str, NDArray[np.float64]]) -> dg.MarkdownMetadataValue:
    """Mean label by tenth of the score, one line a model; the dotted diagonal is perfect calibration."""
    lines = {}
    for name, score in scores.items():
        parts = np.array_split(np.argsort(score, kind="stable"), min(10, max(1, score.size)))
        lines[name] = [(float(score[part].mean()), float(label[part].mean())) for part in parts if part.size]
    points = [value for line in lines.values() for point in line for value in point] or [0.0, 1.0]
    low, high = _spread(min(points), max(points))

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    body = [*_axis(low, high), _line([(x(low), _y(low, low, high)), (x(high), _y(high, low, high))], _INK, "2 4")]
    for index, (name, line) in enumerate(lines.items()):
        color = _COLORS[index % len(_COLORS)]
        body.append(_line([(x(score), _y(mean, low, high)) for score, mean in line], color))
        body += [f'<circle cx="{x(s):.1f}" cy="{_y(m, low, high):.1f}" r="3" fill="{color}"/>' for s, m in line]
        body.append(_text(_LEFT + 8, _TOP + 12 + 14 * index, name, color=color))
    body += [_text(x(value), _HEIGHT - 18, f"{value:.4g}", "middle") for value in (low, (low + high) / 2, high)]
    body.append(_text(_WIDTH - _RIGHT, _HEIGHT - 4, "estimated; upwards: what happened, mean of the tenth", "end"))
    return _image("Calibration on held-out rows", body)


def bars(values: Mapping[str, float], title: str, unit: str) -> dg.MarkdownMetadataValue:
    """Horizontal bars, first on top."""
    largest = max([abs(value) for value in values.values()] or [1.0]) or 1.0
    left, step = 190, 18
    body = []
    for index, (name, value) in enumerate(values.items()):
        y = _TOP + index * step
        width = abs(value) / largest * (_WIDTH - left - 70)
        body.append(_text(left - 6, y + 11, name, "end"))
        body.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="13" rx="2" fill="{_COLORS[0]}"/>')
        body.append(_text(left + width + 5, y + 11, f"{value:.4g}"))
    return _image(f"{title}, {unit}", body, _TOP + len(values) * step + 8)


def _spread(low: float, high: float) -> tuple[float, float]:
    """The range, wide enough to be divided."""
    return low, max(high, low + max(1e-9, abs(low) * 1e-6))


def _columns(title: str, names: Sequence[str], values: Sequence[float], unit: str) -> dg.MarkdownMetadataValue:
    high = max([*values, 1])
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    body = _axis(0, high)
    every = max(1, len(names) // 7)
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = _LEFT + index * step, _y(value, 0, high)
        body.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, step * 0.85):.1f}" '
            f'height="{_HEIGHT - _BOTTOM - y:.1f}" fill="{_COLORS[0]}"/>'
        )
        if index % every == 0:
            body.append(_text(x, _HEIGHT - 18, name))
    body.append(_text(_WIDTH - _RIGHT, _TOP - 6, unit, "end"))
    return _image(title, body)


def _y(value: float, low: float, high: float) -> float:
    return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def _axis(low: float, high: float) -> list[str]:
    """Three faint lines with their values."""
    body = []
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        y = _y(value, low, high)
        body.append(_line([(_LEFT, y), (_WIDTH - _RIGHT, y)], _FAINT))
        body.append(_text(_LEFT - 6, y + 4, f"{value:.4g}", "end"))
    return body


def _line(points: Sequence[tuple[float, float]], color: str, dash: str = "none") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5" stroke-dasharray="{dash}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", color: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _image(title: str, body: Sequence[str], height: float = _HEIGHT) -> dg.MarkdownMetadataValue:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="8" y="18" font-size="13" font-weight="600" fill="{_INK}">{escape(title)}</text>{"".join(body)}</svg>'
    )
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title.replace('[', '(').replace(']', ')')}](data:image/svg+xml;base64,{encoded})")
