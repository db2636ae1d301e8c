"""Crosses of lists: cartesian products, overlaps of terms."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.operators.reductions import text_of
from saima.features.types import FLOAT64, INT64, STRING, Type, list_of

if TYPE_CHECKING:
    from saima.features.nodes import Call

MOST = 1_000_000
"""Combinations that `combo` makes at most."""

_HOWS = {
    "query_ratio": FLOAT64, "title_ratio": FLOAT64, "contains": INT64, "equal": INT64, "index_of": INT64,
    "common": list_of(STRING), "difference": list_of(STRING),
}  # fmt: skip


def _combos(call: Call) -> Type:
    for arg in call.args:
        inner = arg.type.of if arg.type.is_list else arg.type
        if not inner.is_text:
            raise TypeFault(f"combo takes texts or lists of them, not {arg.type}", "sides")
    return list_of(STRING)


@operator(sides="terms", returns=_combos, lower=by_rows, counted="nulls")
def combo(*sides: Any) -> list[str] | None:
    """Cartesian product joined by `_`, first argument slowest; a missing or empty side gives [].

    More than 1,000,000 combinations are out of the domain: [], counted.

    >>> combo(["a", "b"], "x", [1, 2])
    ['a_x_1', 'a_x_2', 'b_x_1', 'b_x_2']
    """
    lists = [[x for x in (side if isinstance(side, list) else [side]) if x is not None] for side in sides]
    if math.prod(len(side) for side in lists) > MOST:
        return None
    return ["_".join(parts) for parts in product(*([text_of(x) for x in side] for side in lists))]


def _overlap_type(call: Call) -> Type:
    how = call.constants["how"]
    if how not in _HOWS:
        raise TypeFault(f"unknown how {how!r}; one of {', '.join(_HOWS)}")
    return _HOWS[how]


@operator(query="list<text>", title="list<text>", how="constant", returns=_overlap_type, nulls="own", lower=by_rows)
def overlap(query: list[str | None] | None, title: list[str | None] | None, how: str) -> Any:
    """Overlap of two lists of terms, over distinct terms; a null side is empty.

    `query_ratio`, `title_ratio`: common over own size, 0 if empty. `contains`: every query term is in the title, and
    there is one. `equal`: same set, not empty. `index_of`: place in the title of the query's first term, else -1.
    `common`, `difference`: query terms in, not in the title, in query order.

    >>> overlap(["a", "b"], ["b", "c"], "query_ratio"), overlap(["a", "b"], ["b"], "difference")
    (0.5, ['a'])
    """
    asked = list(dict.fromkeys(term for term in query or [] if term is not None))
    shown = list(dict.fromkeys(term for term in title or [] if term is not None))
    held = set(shown)
    common = [term for term in asked if term in held]
    match how:
        case "query_ratio":
            return len(common) / len(asked) if asked else 0.0
        case "title_ratio":
            return len(common) / len(shown) if shown else 0.0
        case "contains":
            return int(bool(asked) and len(common) == len(asked))
        case "equal":
            return int(bool(asked) and set(asked) == held)
        case "index_of":
            places = [term for term in title or [] if term is not None]
            return places.index(asked[0]) if asked and asked[0] in held else -1
        case "common":
            return common
    return [term for term in asked if term not in held]
