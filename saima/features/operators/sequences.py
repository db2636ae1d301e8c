"""Sequences: an operator at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.features.operators.base import operator
from saima.features.operators.kernel import by_rows
from saima.features.types import list_of

if TYPE_CHECKING:
    from collections.abc import Callable


@operator(
    xs="any", run="constant", listed="constant", nulls="own", lower=by_rows,
    returns=lambda call: list_of(call.constants["run"].type),
)  # fmt: skip
def steps(*xs: Any, run: Callable[..., Any], listed: tuple[bool, ...]) -> list[Any] | None:
    """`steps("operator", xs, ...)`: the operator at every step of the lists, scalars broadcast.

    A missing list gives []; lists of different lengths too. run: the operator on one step's values; listed: which
    arguments are lists.

    >>> steps([1, 2], 10, run=lambda a, b: a + b, listed=(True, False))
    [11, 12]
    """
    lists = [x for x, many in zip(xs, listed, strict=True) if many]
    if any(x is None for x in lists) or len({len(x) for x in lists}) > 1:
        return None
    size = len(lists[0])
    return [run(*(x[at] if many else x for x, many in zip(xs, listed, strict=True))) for at in range(size)]
