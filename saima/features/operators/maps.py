"""Maps: lookups by key, two levels, products over shared keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.operators.reductions import reduce_values, reduced_type, text_of
from saima.features.types import FLOAT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call

ALL = "ALL"
"""Key in the data that matches any key of `match`."""


def _looked_up(call: Call) -> Type:
    keys = call.arg("keys").type
    inner = keys.of if keys.is_list else keys
    if not inner.is_text:
        raise TypeFault(f"keys are texts or a list of them, not {keys}", "keys")
    return reduced_type(call.constants["how"], call.arg("map").type.of)


@operator(map="map", keys="terms", how="constant", returns=_looked_up, nulls="own", lower=by_rows)
def lookup(map: dict[str, Any] | None, keys: Any, how: str = "sum") -> Any:  # noqa: A002
    """Values of the keys, reduced; unfound and null skipped; nothing found gives null, 0 for count, [] for list.

    >>> lookup({"a": 1, "b": 2}, ["b", "z", "a"], how="list"), lookup({"a": 1}, "z")
    ([2, 1], None)
    """
    asked = keys if isinstance(keys, list) else [keys]
    texts = [text_of(key) for key in asked if key is not None]
    found = [(map or {}).get(text) for text in texts]
    return reduce_values([value for value in found if value is not None], how)


def _matched(call: Call) -> Type:
    outer = call.arg("nested").type.of
    if outer.name != "map":
        raise TypeFault(f"match takes map<string,map<string,T>>, not {call.arg('nested').type}", "nested")
    return outer.of


@operator(nested="map", first="text", second="text", returns=_matched, finite=False, lower=by_rows)
def match(nested: dict[str, dict[str, Any] | None], first: str, second: str) -> Any:
    """Two-level lookup; the key `ALL` in the data matches at either level, an exact key wins.

    >>> match({"ALL": {"b": 1.0}, "a": {"ALL": 2.0}}, "a", "b")
    2.0
    """
    for outer in (first, ALL):
        level = nested.get(outer) or {}
        for inner in (second, ALL):
            if level.get(inner) is not None:
                return level[inner]
    return None


def _weighted(call: Call) -> Type:
    for name in ("a", "b"):
        dtype = call.arg(name).type
        inner = dtype.of if dtype.element is not None else dtype
        if not (dtype.name == "map" and inner.is_number) and not (dtype.is_list and inner.is_text):
            raise TypeFault(f"kv_dot takes maps of numbers or lists of keys, not {dtype}", name)
    return FLOAT64


def _weights(side: Any) -> dict[str, float]:
    if isinstance(side, dict):
        return {key: 1.0 if weight is None else float(weight) for key, weight in side.items()}
    return {text_of(key): 1.0 for key in side if key is not None}


@operator(a="any", b="any", returns=_weighted, lower=by_rows)
def kv_dot(a: Any, b: Any) -> float | None:
    """Sum over shared keys, in the order of a, of the products; a missing weight is 1; an empty side gives null.

    >>> kv_dot({"a": 0.5, "b": 0.5}, {"b": 0.5}), kv_dot(["a", "b"], ["b"]), kv_dot([], ["a"])
    (0.25, 1.0, None)
    """
    left, right = _weights(a), _weights(b)
    if not left or not right:
        return None
    total = 0.0
    for key, weight in left.items():
        if key in right:
            total += weight * right[key]
    return total
