"""Lists of a list's elements: `mask`, `unique`, `sort`, `top_k`, `slice`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.operators.base import TypeFault, operator
from saima.features.types import Type, list_of

if TYPE_CHECKING:
    from saima.features.nodes import Call


def _flags_lower(_: Call, xs: pl.Expr, flags: pl.Expr) -> pl.Expr:
    same = xs.list.len() == flags.list.len()
    kept = flags.list.eval(pl.element().fill_null(value=False).arg_true())
    return pl.when(same).then(xs).list.gather(pl.when(same).then(kept))


@operator(
    xs="list", flags="list<bool>", returns=lambda call: list_of(call.arg("xs").type.of), lower=_flags_lower,
    counted="lengths",
)  # fmt: skip
def mask(xs: list[Any], flags: list[bool | None]) -> list[Any]:
    """Elements whose flag is true; a mask of another length gives [].

    >>> mask([1, 2, 3], [True, False, True]), mask([1], [])
    ([1, 3], [])
    """
    return [x for x, flag in zip(xs, flags, strict=True) if flag] if len(xs) == len(flags) else []


@operator(
    xs="list", returns=lambda call: list_of(call.arg("xs").type.of),
    lower=lambda _, xs: xs.list.drop_nulls().list.unique(maintain_order=True),
)  # fmt: skip
def unique(xs: list[Any]) -> list[Any]:
    """Distinct elements in order of first occurrence; nulls are skipped.

    >>> unique(["b", "a", "b"])
    ['b', 'a']
    """
    return list(dict.fromkeys(x for x in xs if x is not None))


def _ordered(call: Call) -> Type:
    inner = call.arg("xs").type.of
    if inner.element is not None:
        raise TypeFault(f"{call.operator.name} takes a list of scalars, not {call.arg('xs').type}", "xs")
    if not isinstance(call.constants.get("descending", False), bool):
        raise TypeFault("descending is True or False")
    return list_of(inner)


@operator(
    xs="list", descending="constant", returns=_ordered,
    lower=lambda call, xs: xs.list.drop_nulls().list.sort(descending=call.constants["descending"]),
)  # fmt: skip
def sort(xs: list[Any], descending: bool = False) -> list[Any]:
    """Elements in order (text by code point); nulls are skipped.

    >>> sort([3, 1, 2], descending=True)
    [3, 2, 1]
    """
    return sorted((x for x in xs if x is not None), reverse=descending)


def _counted(call: Call) -> Type:
    k = call.constants["k"]
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise TypeFault(f"k is a whole number >= 1, not {k!r}")
    return _ordered(call)


@operator(
    xs="list", k="constant", returns=_counted,
    lower=lambda call, xs: xs.list.drop_nulls().list.sort(descending=True).list.head(call.constants["k"]),
)  # fmt: skip
def top_k(xs: list[Any], k: int) -> list[Any]:
    """The k greatest, greatest first; nulls are skipped.

    >>> top_k([5, 9, 7], 2)
    [9, 7]
    """
    return sorted((x for x in xs if x is not None), reverse=True)[:k]


def _sliced(call: Call) -> Type:
    for name in ("start", "stop"):
        value = call.constants[name]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise TypeFault(f"{name} is a whole number, not {value!r}")
    return list_of(call.arg("xs").type.of)


def _slice_lower(call: Call, xs: pl.Expr) -> pl.Expr:
    length = xs.list.len().cast(pl.Int64)

    def bound(value: int | None, missing: pl.Expr) -> pl.Expr:
        if value is None:
            return missing
        return (
            (length + value).clip(lower_bound=0)
            if value < 0
            else pl.min_horizontal(length, pl.lit(value, dtype=pl.Int64))
        )

    start = bound(call.constants["start"], pl.lit(0, dtype=pl.Int64))
    stop = bound(call.constants["stop"], length)
    return xs.list.slice(start, (stop - start).clip(lower_bound=0))


@operator(name="slice", xs="list", start="constant", stop="constant", returns=_sliced, lower=_slice_lower)
def slice_(xs: list[Any], start: int | None = None, stop: int | None = None) -> list[Any]:
    """Python's xs[start:stop]; `xs[1:3]` is the same.

    >>> slice_([10, 20, 30, 40], 1, 3), slice_([1, 2, 3], -2)
    ([20, 30], [2, 3])
    """
    return xs[start:stop]


newest = replace(slice_, name="newest", hidden=True)
"""What `max_length` of a feature keeps; unlike a written slice it leaves a missing list missing."""
