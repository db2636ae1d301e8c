"""Names that the feature service answers: features, columns of tables, measures of windows, by algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from saima.errors import RequestError, suggest
from saima.features.reads import measure_type, table_columns
from saima.features.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saima.features.algorithm import Algorithm
    from saima.features.declaration import Declaration
    from saima.features.types import Type

Kind = Literal["feature", "table", "window"]

FIELD = "name"
"""Parameter of the query that names come in."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: `name` is a feature, `<table>.<column>` or `<aggregate>.<measure>_<window>`."""

    algorithm: str
    name: str
    kind: Kind
    dtype: Type

    @property
    def full_name(self) -> str:
        """`<algorithm>.<name>`, by which callers are granted it."""
        return f"{self.algorithm}.{self.name}"


class Names:
    """All names of some algorithms, found by full name or, where only one algorithm has it, without the algorithm."""

    def __init__(self, algorithms: Mapping[str, Algorithm]) -> None:
        self._full: dict[str, Named] = {}
        self._short: dict[str, list[Named]] = {}
        for algorithm in algorithms.values():
            for named in _names(algorithm):
                self._full[named.full_name] = named
                self._short.setdefault(named.name, []).append(named)

    def find(self, text: str, may_read: Callable[[str], bool]) -> Named:
        """What a caller means by a name. Raises RequestError.

        404: no such name that the caller may read, and the nearest that it may; what others may read is not told. 422:
        several algorithms have it.
        """
        found = self._full.get(text)
        candidates = [found] if found else self._short.get(text, [])
        readable = [named for named in candidates if may_read(named.full_name)]
        if len(readable) == 1:
            return readable[0]
        if readable:
            choices = " or ".join(f"'{named.full_name}'" for named in readable)
            raise RequestError(f"several algorithms have '{text}'; write {choices}", FIELD)
        allowed = [name for name in self._full if may_read(name)]
        known = allowed if text.partition(".")[0] in self._algorithms() else [self._full[name].name for name in allowed]
        raise RequestError(f"no feature '{text}' that this caller may read{suggest(text, known)}", FIELD, 404)

    def _algorithms(self) -> set[str]:
        return {named.algorithm for named in self._full.values()}


def columns(declaration: Declaration) -> Iterator[tuple[str, Kind, Type]]:
    """Columns of the tables and measures of the windows of a declaration, whether features read them or not."""
    for name, table in declaration.tables.items():
        for column, dtype in table_columns(table, declaration.sources[table.source]).items():
            yield f"{name}.{column}", "table", dtype
    for name, aggregate in declaration.aggregates.items():
        fields = declaration.sources[aggregate.source].fields
        value = parse_type(fields[aggregate.value]) if aggregate.value else None
        for measure in aggregate.measures:
            for window in aggregate.windows:
                yield f"{name}.{measure}_{window}", "window", measure_type(measure, value)


def _names(algorithm: Algorithm) -> Iterator[Named]:
    for name, dtype in algorithm.plan.features.items():
        yield Named(algorithm.name, name, "feature", dtype)
    for column, kind, dtype in columns(algorithm.declaration):
        yield Named(algorithm.name, column, kind, dtype)
