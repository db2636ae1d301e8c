"""The operators of the feature language, one family a module."""

from __future__ import annotations

from types import ModuleType

from saima.features.operators import (
    arithmetic,
    calendar,
    conversion,
    crosses,
    identity,
    lists,
    logic,
    maps,
    mathematics,
    powers,
    quotients,
    records,
    reductions,
    retrieval,
    scaling,
    sequences,
    sublists,
    text,
    vectors,
)
from saima.features.operators.base import Operator

FAMILIES: tuple[ModuleType, ...] = (
    arithmetic, quotients, powers, logic, mathematics, scaling, conversion, calendar, identity, lists, sublists,
    reductions, maps, crosses, vectors, text, records, retrieval, sequences,
)  # fmt: skip


def operators_of(module: ModuleType) -> dict[str, Operator]:
    """Operators that a module itself declares, by name."""
    found = [value for value in vars(module).values() if isinstance(value, Operator)]
    return {each.name: each for each in found if each.reference.__module__ == module.__name__}


OPERATORS: dict[str, Operator] = {name: found for family in FAMILIES for name, found in operators_of(family).items()}
"""Every built-in operator by name; symbols and keywords are the hidden ones."""
