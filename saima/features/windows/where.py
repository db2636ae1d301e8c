"""The `where` of aggregates, compiled: which events of a source a group counts."""

from __future__ import annotations

import polars as pl

from saima.errors import DeclarationError
from saima.features.declaration import Declaration, Source
from saima.features.expression import Scope, compile_expression
from saima.features.lowering import lower
from saima.features.nodes import Node, column
from saima.features.syntax import ExpressionError
from saima.features.types import BOOL, INT64, TIMESTAMP, parse_type
from saima.features.windows.grouping import groups


def predicates(declaration: Declaration) -> dict[str, pl.Expr]:
    """Conditions over frames of events, by table of the group; groups that count every event are left out.

    Raises DeclarationError that names the aggregate and the column inside its text.
    """
    return {
        group.table: predicate(declaration.sources[group.source], group.where, f"aggregates over '{group.source}'")
        for group in groups(declaration)
        if group.where
    }


def predicate(source: Source, text: str, place: str) -> pl.Expr:
    """A condition over the fields of a source, for frames of events, which carry timestamps as int64 ms."""
    return lower(condition(source, text, place))


def condition(source: Source, text: str, place: str) -> Node:
    """A condition over the fields of a source. Raises DeclarationError that names the place."""
    names: dict[str, Node] = {}
    for name, dtype in source.fields.items():
        found = parse_type(dtype)
        if found == TIMESTAMP:
            raw = column(name, INT64, "request")
            names[name] = compile_expression(f"cast({name}, 'timestamp')", Scope({name: raw}))
        else:
            names[name] = column(name, found, "request")
    try:
        node = compile_expression(text, Scope(names))
    except ExpressionError as error:
        raise DeclarationError(f"{place}: where '{text}': {error}") from error
    if node.type != BOOL:
        raise DeclarationError(f"{place}: where '{text}' is {node.type}; a condition is true or false")
    return node
