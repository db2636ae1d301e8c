"""Compile the features of a checked declaration into a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saima.features.expression import Scope, compile_expression, convert, make_call
from saima.features.nodes import Column, Node, Side, column, join_sides, resource, walk
from saima.features.operators import OPERATORS
from saima.features.operators.conversion import implicit
from saima.features.operators.sublists import newest
from saima.features.plan import Computed, Plan, make_plan
from saima.features.reads import AggregateRead, TableRead, measure_type, table_columns
from saima.features.sides import key_column, request_columns
from saima.features.syntax import Apply, Constant, ExpressionError, Name, Tree, parse
from saima.features.types import TIMESTAMP, Type, declared, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from saima.features.declaration import Declaration
    from saima.features.operators.base import Operator
    from saima.features.vocabularies import Vocabulary


class FeatureError(ExpressionError):
    """An expression's error in a named feature."""

    def __init__(self, feature: str, error: ExpressionError) -> None:
        super().__init__(error.kind, error.message, error.column)
        self.suggestion = error.suggestion
        self.feature = feature


@dataclass
class _Names:
    """Names in reach of the features, and the plain ones."""

    names: dict[str, Node] = field(default_factory=dict)
    bare: dict[str, tuple[str, ...]] = field(default_factory=dict)


def compile_plan(
    declaration: Declaration,
    vocabularies: Mapping[str, Vocabulary],
    operators: Mapping[str, Operator] | None = None,
) -> Plan:
    """Plan of a declaration. Raises FeatureError."""
    reach = _reach(declaration, vocabularies)
    scope = Scope(
        reach.names, reach.bare, column("request.time", TIMESTAMP, "request"), {**OPERATORS, **(operators or {})}
    )
    trees: dict[str, Tree] = {}
    for name, feature in declaration.features.items():
        try:
            trees[name] = parse(feature.value)
        except ExpressionError as error:
            raise FeatureError(name, error) from None
    computed: dict[str, Computed] = {}
    for name in _order(trees, reach):
        feature = declaration.features[name]
        dtype = parse_type(feature.dtype)
        try:
            node = compile_expression(feature.value, scope)
            if not implicit(node.type, dtype):
                hint = f"; write cast(..., '{dtype}')" if not node.type.element and not dtype.element else ""
                raise ExpressionError("type", f"'{name}' is declared {dtype} and its value is {node.type}{hint}", 1)
            node = convert(node, dtype)
            if feature.max_length is not None:
                node = make_call(newest, {"xs": [node]}, {"start": 0, "stop": feature.max_length}, [1], 1)
        except ExpressionError as error:
            raise FeatureError(name, error) from None
        computed[name] = Computed(name, node, dtype, declared(feature.default, dtype))
        reach.names[name] = column(name, dtype, node.side, feature=True)
    return _plan(declaration, [computed[name] for name in declaration.features], vocabularies)


def _reach(declaration: Declaration, vocabularies: Mapping[str, Vocabulary]) -> _Names:
    reach = _Names()
    bare: dict[str, list[str]] = {}
    for name, text in request_columns(declaration).items():
        space, _, plain = name.partition(".")
        reach.names[name] = column(name, parse_type(text), "item" if space == "item" else "request")
        bare.setdefault(plain, []).append(name)
    reach.names["request.time"] = column("request.time", TIMESTAMP, "request")
    for name, table in declaration.tables.items():
        side = _side(declaration, table)
        for field_, dtype in table_columns(table, declaration.sources[table.source]).items():
            reach.names[f"{name}.{field_}"] = column(f"{name}.{field_}", dtype, side)
    for name, aggregate in declaration.aggregates.items():
        side = _side(declaration, aggregate)
        value = parse_type(declaration.sources[aggregate.source].fields[aggregate.value]) if aggregate.value else None
        for measure in aggregate.measures:
            for window in aggregate.windows:
                full = f"{name}.{measure}_{window}"
                reach.names[full] = column(full, measure_type(measure, value), side)
    for name, bounds in declaration.resources.buckets.items():
        reach.names[f"buckets.{name}"] = resource(f"buckets.{name}", tuple(float(bound) for bound in bounds))
    for name, vocabulary in vocabularies.items():
        reach.names[f"vocabularies.{name}"] = resource(f"vocabularies.{name}", vocabulary)
    for name in declaration.features:
        bare.setdefault(name, []).append(name)
    reach.bare = {name: tuple(found) for name, found in bare.items()}
    return reach


def _order(trees: dict[str, Tree], reach: _Names) -> list[str]:
    """Features, each after those it names. Raises FeatureError of kind cycle."""
    done: dict[str, None] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        stack.append(name)
        for found in _named(trees[name]):
            target = ".".join(found.parts)
            if reach.bare.get(target) != (target,) or target not in trees:
                continue
            if target in stack:
                loop = " -> ".join([*stack[stack.index(target) :], target])
                raise FeatureError(name, ExpressionError("cycle", f"features need each other: {loop}", found.column))
            visit(target)
        stack.pop()
        done[name] = None

    for name in trees:
        visit(name)
    return list(done)


def _named(tree: Tree) -> Iterator[Name]:
    if isinstance(tree, Name):
        yield tree
    elif isinstance(tree, Apply):
        for inner in (*tree.args, *(value for _, value, _ in tree.keywords)):
            yield from _named(inner)
    elif not isinstance(tree, Constant):
        raise TypeError(type(tree))


def _plan(declaration: Declaration, computed: list[Computed], vocabularies: Mapping[str, Vocabulary]) -> Plan:
    read = {
        node.name: node.type
        for feature in computed
        for node in walk(feature.node)
        if isinstance(node, Column) and not node.feature
    }
    tables: dict[str, TableRead] = {}
    for name, table in declaration.tables.items():
        source = declaration.sources[table.source]
        columns = {
            field_: dtype for field_, dtype in table_columns(table, source).items() if f"{name}.{field_}" in read
        }
        if columns:
            tables[name] = TableRead(name, table, source, _keys(declaration, table), columns, _side(declaration, table))
    aggregates: dict[str, AggregateRead] = {}
    for name, aggregate in declaration.aggregates.items():
        pairs = [(m, w) for m in aggregate.measures for w in aggregate.windows if f"{name}.{m}_{w}" in read]
        if pairs:
            types: tuple[Type, ...] = tuple(read[f"{name}.{m}_{w}"] for m, w in pairs)
            source = declaration.sources[aggregate.source]
            keys = _keys(declaration, aggregate)
            aggregates[name] = AggregateRead(
                name, aggregate, source, keys, tuple(pairs), types, _side(declaration, aggregate)
            )
    fields = {name: parse_type(text) for name, text in request_columns(declaration).items() if name in read}
    return make_plan(
        features=computed, request_fields=fields, tables=tables, aggregates=aggregates, vocabularies=vocabularies
    )


def _side(declaration: Declaration, reader: Any) -> Side:
    """Side of what is read by a key: the cross of its fields' sides."""
    return join_sides(["item" if name.startswith("item.") else "request" for name in _keys(declaration, reader)])


def _keys(declaration: Declaration, reader: Any) -> tuple[str, ...]:
    names = [reader.key] if isinstance(reader.key, str) else reader.key
    return tuple(key_column(declaration, reader.side, name) or "" for name in names)
