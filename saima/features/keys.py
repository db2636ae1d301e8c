"""The text of a key: what events, requests and stores call an entity by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

SEPARATOR = "\x1f"
"""Stands between the parts of a key of several fields."""


def key_text(parts: Sequence[Any]) -> str | None:
    """Text of a key from its parts; None if a part is missing.

    >>> key_text(["JFK"]), key_text([1, True]), key_text(["JFK", None])
    ('JFK', '1\\x1ftrue', None)
    """
    texts = []
    for part in parts:
        if part is None:
            return None
        texts.append(str(part).lower() if isinstance(part, bool) else str(part))
    return SEPARATOR.join(texts)


def key_expr(columns: Sequence[pl.Expr]) -> pl.Expr:
    """The same over columns; timestamps count as their milliseconds."""
    texts = [column.cast(pl.String) for column in columns]
    return texts[0] if len(texts) == 1 else pl.concat_str(texts, separator=SEPARATOR)
