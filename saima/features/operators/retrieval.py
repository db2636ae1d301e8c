"""Relevance of a document to a query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import FLOAT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call


def _statistics(call: Call) -> Type:
    statistics = call.constants["statistics"]
    shape = isinstance(statistics, dict) and {"documents", "average_length", "frequencies"} <= set(statistics)
    if not shape or not isinstance(statistics["frequencies"], dict):
        raise TypeFault("statistics is {'documents': N, 'average_length': avg, 'frequencies': {term: n}}")
    for name in ("documents", "average_length"):
        if isinstance(statistics[name], bool) or not isinstance(statistics[name], int | float) or statistics[name] <= 0:
            raise TypeFault(f"statistics['{name}'] is a number above 0")
    for name in ("k1", "b"):
        if isinstance(call.constants[name], bool) or not isinstance(call.constants[name], int | float):
            raise TypeFault(f"'{name}' of bm25 is a number")
    return FLOAT64


@operator(
    query="list<text>", document="list<text>", statistics="constant", k1="constant", b="constant",
    returns=_statistics, lower=by_rows,
)  # fmt: skip
def bm25(
    query: list[str | None], document: list[str | None], statistics: dict[str, Any], k1: float = 1.2, b: float = 0.75
) -> float:
    """Sum over the query's terms of ln(1 + (N - n + 0.5) / (n + 0.5)) * f (k1 + 1) / (f + k1 (1 - b + b |d| / avg)).

    N: documents, n: those with the term, f: how often this one has it, avg: average length (Robertson and Zaragoza,
    The Probabilistic Relevance Framework, 2009).

    >>> bm25(["a"], ["b"], {"documents": 10, "average_length": 2.0, "frequencies": {"a": 1}})
    0.0
    """
    words = [word for word in document if word is not None]
    total = 0.0
    for term in query:
        frequency = words.count(term) if term is not None else 0
        if not frequency:
            continue
        holders = statistics["frequencies"].get(term, 0)
        weight = math.log(1 + (statistics["documents"] - holders + 0.5) / (holders + 0.5))
        length = 1 - b + b * len(words) / statistics["average_length"]
        total += weight * frequency * (k1 + 1) / (frequency + k1 * length)
    return total
