"""Durations as text: `500ms`, `10s`, `5m`, `2h`, `7d`."""

from __future__ import annotations

import re

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN = re.compile(r"(\d+)\s*(ms|s|m|h|d)")


def milliseconds(text: str) -> int:
    """Milliseconds of a duration.

    >>> milliseconds("6h")
    21600000
    """
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a duration; write a whole number and ms, s, m, h or d, such as 5m")
    return int(match[1]) * _UNITS[match[2]]
