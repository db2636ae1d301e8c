"""A fallback rule: an expression of the feature language that scores from what the caller sent, and reads nothing."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from saima.features.expression import compile_expression
from saima.features.reference import interpret
from saima.routing.checks import fields_scope

if TYPE_CHECKING:
    from saima.features.declaration import Request
    from saima.features.nodes import Node
    from saima.host.request import Ask


def scores_of(text: str, declared: Request, ask: Ask) -> np.ndarray:
    """A rule's score for each candidate, or for the request that has none, float64 [n]; NaN where it has no number.

    Fields are those of request, user and item, the latter winning. Raises ExpressionError for an expression that does
    not fit them.
    """
    fields: dict[str, str] = {**declared.user, **declared.fields}
    if declared.items is not None:
        fields |= {"item_id": "string", **declared.items.fields}
    node = _compiled(text, tuple(fields.items()))
    shared = {**(ask.user or {}), **ask.request}
    return np.array([_number(interpret(node, {**shared, **item})) for item in ask.items or [{}]], np.float64)


@lru_cache(maxsize=64)
def _compiled(text: str, fields: tuple[tuple[str, str], ...]) -> Node:
    return compile_expression(text, fields_scope(dict(fields)))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
