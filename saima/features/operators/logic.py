"""Comparisons, Kleene logic and the conditional."""

from __future__ import annotations

import operator as python
from functools import reduce
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.nodes import Constant
from saima.features.online.vector import logic as kernels
from saima.features.operators.base import Operator, TypeFault, operator
from saima.features.types import BOOL, FLOAT64, INT64, Type, unify

if TYPE_CHECKING:
    from collections.abc import Callable

    from saima.features.nodes import Call


def _comparable(call: Call) -> Type:
    left, right = call.args[0].type, call.args[1].type
    common = unify(left, right)
    if common is None:
        raise TypeFault(f"{left} is not compared with {right}; cast one of them", "b")
    if common.element is not None:
        raise TypeFault(f"{left} is not compared; compare its elements", "a")
    if common == BOOL and call.operator.name not in ("==", "!="):
        raise TypeFault("bools have no order", "a")
    return BOOL


def _mixed(call: Call) -> bool:
    return {arg.type for arg in call.args} != {INT64} and all(arg.type.is_number for arg in call.args)


_MIRRORED: dict[Any, Callable[[Any, Any], Any]] = {
    python.eq: python.eq, python.ne: python.ne, python.lt: python.gt, python.le: python.ge,
    python.gt: python.lt, python.ge: python.le,
}  # fmt: skip


def _comparison(name: str, doc: str, compare: Callable[[Any, Any], Any]) -> Operator:
    def reference(a: Any, b: Any) -> bool:
        if isinstance(a, float) or isinstance(b, float):
            a, b = float(a), float(b)
        return bool(compare(a, b))

    def lower(call: Call, a: pl.Expr, b: pl.Expr) -> pl.Expr:
        if _mixed(call):
            a, b = (x if arg.type == FLOAT64 else x.cast(pl.Float64) for arg, x in zip(call.args, (a, b), strict=True))
        # Polars compares a literal with a column of one value throughout as two values, and gives one row
        literal_first = isinstance(call.args[0], Constant) and not isinstance(call.args[1], Constant)
        result: pl.Expr = _MIRRORED[compare](b, a) if literal_first else compare(a, b)
        return result

    reference.__doc__ = doc
    reference.__module__ = __name__
    declare = operator(
        name=name, a="any", b="any", decimals="align",
        returns=_comparable, lower=lower, hidden=True, bits=0.0, exact=True,
        vector=kernels.comparison(compare),
    )  # fmt: skip
    return declare(reference)


less = _comparison("<", "a < b; numbers of two types compare as float64.", python.lt)
less_equal = _comparison("<=", "a <= b.", python.le)
greater = _comparison(">", "a > b.", python.gt)
greater_equal = _comparison(">=", "a >= b.", python.ge)
equal = _comparison("==", "a == b.", python.eq)
not_equal = _comparison("!=", "a != b.", python.ne)


@operator(name="and", sides="bool", returns="bool", nulls="own", hidden=True, bits=0.0,
          lower=lambda _, *sides: reduce(lambda a, b: a & b, sides), exact=True, vector=kernels.and_)  # fmt: skip
def and_(*sides: bool | None) -> bool | None:
    """Kleene and: false wins over null.

    >>> and_(None, False), and_(None, True)
    (False, None)
    """
    if any(side is False for side in sides):
        return False
    return None if any(side is None for side in sides) else True


@operator(name="or", sides="bool", returns="bool", nulls="own", hidden=True, bits=0.0,
          lower=lambda _, *sides: reduce(lambda a, b: a | b, sides), exact=True, vector=kernels.or_)  # fmt: skip
def or_(*sides: bool | None) -> bool | None:
    """Kleene or: true wins over null.

    >>> or_(None, True), or_(None, False)
    (True, None)
    """
    if any(side is True for side in sides):
        return True
    return None if any(side is None for side in sides) else False


@operator(name="not", x="bool", returns="bool", hidden=True, bits=0.0, lower=lambda _, x: x.not_(), exact=True,
          vector=kernels.not_)  # fmt: skip
def not_(x: bool) -> bool:
    """not x.

    >>> not_(True)
    False
    """
    return not x


def _branches(call: Call) -> Type:
    found = unify(call.arg("then").type, call.arg("otherwise").type)
    if found is None:
        raise TypeFault(
            f"one branch is {call.arg('then').type}, the other {call.arg('otherwise').type}; cast one", "otherwise"
        )
    return found


def _choose(call: Call, test: pl.Expr, then: pl.Expr, otherwise: pl.Expr) -> pl.Expr:
    dtype = call.type.polars
    a, b = (
        expr if call.arg(name).type == call.type else expr.cast(dtype)
        for name, expr in (("then", then), ("otherwise", otherwise))
    )
    return pl.when(test).then(a).when(test.not_()).then(b)


@operator(name="if", test="bool", then="any", otherwise="any", decimals="align",
          aligned=("then", "otherwise"), returns=_branches, nulls="own", finite=False,
          bits=lambda call: max(call.arg("then").bits, call.arg("otherwise").bits), lower=_choose,
          hidden=True, exact=True, vector=kernels.choose)  # fmt: skip
def if_(test: bool | None, then: Any, otherwise: Any) -> Any:
    """`then if test else otherwise`; a null test gives null.

    >>> if_(None, 1, 2) is None
    True
    """
    if test is None:
        return None
    return then if test else otherwise


def _member(call: Call) -> Type:
    element = call.arg("xs").type.of
    common = unify(call.arg("x").type, element)
    if common is None or common.element is not None:
        raise TypeFault(f"{call.arg('x').type} is never in a {call.arg('xs').type}", "x")
    return BOOL


def _is_in(call: Call, x: pl.Expr, xs: pl.Expr) -> pl.Expr:
    common = unify(call.arg("x").type, call.arg("xs").type.of)
    if common is not None and common != call.arg("xs").type.of:
        xs = xs.cast(pl.List(common.polars))
    if common is not None and common != call.arg("x").type:
        x = x.cast(common.polars)
    return pl.when(x.is_not_null()).then(xs.list.contains(x))


@operator(
    name="in", x="any", xs="list", decimals="align", returns=_member, hidden=True, bits=0.0, lower=_is_in, exact=True
)
def in_(x: Any, xs: list[Any]) -> bool:
    """Whether x is an element of xs; nulls inside are skipped.

    >>> in_(1, [1, None])
    True
    """
    return any(item is not None and item == x for item in xs)


@operator(name="not in", x="any", xs="list", decimals="align", returns=_member, hidden=True, bits=0.0,
          lower=lambda call, x, xs: _is_in(call, x, xs).not_(), exact=True)  # fmt: skip
def not_in(x: Any, xs: list[Any]) -> bool:
    """Whether x is no element of xs.

    >>> not_in(1, [2])
    True
    """
    return not any(item is not None and item == x for item in xs)
