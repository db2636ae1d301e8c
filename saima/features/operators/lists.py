"""Lists: membership, places, length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.operators.base import TypeFault, element_of, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import BOOL, INT64, STRING, Type, list_of, unify

if TYPE_CHECKING:
    from saima.features.nodes import Call


_NOWHERE = 2**40
"""A place beyond every list."""


def _hit_lower(_: Call, x: pl.Expr, xs: pl.Expr) -> pl.Expr:
    found = xs.list.contains(x).fill_null(value=False)
    return pl.when(x.is_not_null()).then(found.cast(pl.Int64))


@operator(x="text", xs="list<text>", returns="int64", nulls="own", bits=0.0, lower=_hit_lower)
def hit(x: str | None, xs: list[str | None] | None) -> int | None:
    """1 if the text of x equals the text of an element of xs, else 0; null x gives null, no xs gives 0.

    >>> hit("7", ["5", "7"]), hit("7", None), hit(None, ["7"])
    (1, 0, None)
    """
    if x is None:
        return None
    return int(x in (xs or []))


def _slot_type(call: Call) -> Type:
    record, k = call.arg("record").type, call.constants["k"]
    if not isinstance(k, int) or isinstance(k, bool):
        raise TypeFault(f"slot(record, k): k is a whole number, not {k!r}")
    if record == STRING:
        return list_of(INT64)
    if not record.is_list or not record.of.is_list:
        raise TypeFault(f"slot takes list<list<int64>> or text, not {record}", "record")
    return record.of


def _slot_lower(call: Call, record: pl.Expr) -> pl.Expr:
    if call.arg("record").type == STRING:
        return by_rows(call, record)
    k = call.constants["k"]
    return record.list.get(k if k >= 0 else _NOWHERE, null_on_oob=True)


@operator(record="any", k="constant", returns=_slot_type, lower=_slot_lower)
def slot(record: list[list[Any]] | str, k: int) -> list[Any]:
    """k-th group of a packed record: a list of groups, or text with groups by `;` and values by `,`.

    >>> slot([[1, 2], [3, 4]], 1), slot("1,2;3", 0), slot([[1]], 5)
    ([3, 4], [1, 2], [])
    """
    groups = record
    if isinstance(record, str):
        groups = [[_whole(item) for item in group.split(",")] if group else [] for group in record.split(";")]
    found = groups[k] if 0 <= k < len(groups) else None
    return found if isinstance(found, list) else []


def _whole(text: str) -> int | None:
    stripped = text.strip()
    plain = stripped.isascii() and stripped.lstrip("+-").isdigit() and len(stripped.lstrip("+-")) >= len(stripped) - 1
    return int(stripped) if plain and -(2**63) <= int(stripped) < 2**63 else None


@operator(
    xs="list", i="int", returns=element_of("xs"), finite=False,
    lower=lambda _, xs, i: xs.list.get(pl.when(i >= 0).then(i), null_on_oob=True),
)  # fmt: skip
def element(xs: list[Any], i: int) -> Any:
    """0-based element; negative or out of range gives null.

    >>> element([10, 20], 1), element([10, 20], -1)
    (20, None)
    """
    return xs[i] if 0 <= i < len(xs) else None


def _subscript_type(call: Call) -> Type:
    target, key = call.arg("xs").type, call.constants["key"]
    if target.is_list and isinstance(key, int) and not isinstance(key, bool):
        return target.of
    if target.name == "map" and isinstance(key, str):
        return target.of
    raise TypeFault(f"{target} is not subscripted by {key!r}: a list by a whole number, a map by a text", "xs")


def _subscript_lower(call: Call, xs: pl.Expr) -> pl.Expr:
    key = call.constants["key"]
    if isinstance(key, str):
        return by_rows(call, xs)
    return xs.list.get(key if key >= 0 else _NOWHERE, null_on_oob=True)


@operator(
    name="[]", xs="any", key="constant", returns=_subscript_type, finite=False, hidden=True, lower=_subscript_lower
)
def subscript(xs: list[Any] | dict[str, Any], key: int | str) -> Any:
    """`xs[2]` is `element(xs, 2)`, `m["key"]` the key's value.

    >>> subscript({"a": 1}, "a"), subscript([1], 3)
    (1, None)
    """
    if isinstance(xs, dict):
        return xs.get(str(key))
    return xs[key] if isinstance(key, int) and 0 <= key < len(xs) else None


def _contains_type(call: Call) -> Type:
    xs, x = call.arg("xs").type, call.arg("x").type
    if xs == STRING and x == STRING:
        return BOOL
    if not xs.is_list or unify(xs.of, x) is None or x.element is not None:
        raise TypeFault(f"contains takes a list and an element, or two texts, not {xs} and {x}", "xs")
    return BOOL


def _contains_lower(call: Call, xs: pl.Expr, x: pl.Expr) -> pl.Expr:
    outer = call.arg("xs").type
    if outer == STRING:
        return xs.str.contains(x, literal=True)
    common = unify(outer.of, call.arg("x").type)
    if common is not None:
        xs = xs if common == outer.of else xs.cast(pl.List(common.polars))
        x = x if common == call.arg("x").type else x.cast(common.polars)
    return pl.when(x.is_not_null()).then(xs.list.contains(x))


@operator(
    xs="terms", x="any", returns=_contains_type, lower=_contains_lower, bits=0.0, decimals="align", aligned=("xs", "x")
)
def contains(xs: list[Any] | str, x: Any) -> bool:
    """Whether x is an element of the list xs, or a literal part of the text xs.

    >>> contains(["a", "b"], "b"), contains("abc", "bc")
    (True, True)
    """
    return x in xs


def _len_type(call: Call) -> Type:
    xs = call.arg("xs").type
    if xs != STRING and xs.element is None:
        raise TypeFault(f"len takes a text, a list or a map, not {xs}", "xs")
    return INT64


def _len_lower(call: Call, xs: pl.Expr) -> pl.Expr:
    length = xs.str.len_chars() if call.arg("xs").type == STRING else xs.list.len()
    return length.cast(pl.Int64)


@operator(name="len", xs="any", returns=_len_type, lower=_len_lower, bits=32.0)
def len_(xs: list[Any] | dict[str, Any] | str) -> int:
    """How many elements, nulls too; of text, how many code points.

    >>> len_("héllo"), len_([1, None])
    (5, 2)
    """
    return len(xs)
