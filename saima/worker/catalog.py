"""What a worker must know of all algorithms together: topics, lateness, definitions of state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from saima.errors import SaimaError
from saima.events import DEAD_LETTER, DECLARATIONS, JOURNAL, RULES, SILENCE, Topic
from saima.features import load
from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.features.lookups import RowSource, row_sources
from saima.features.windows import Group, reads
from saima.features.windows.grouping import streamed
from saima.features.windows.where import predicates
from saima.recordings import topics


@dataclass(frozen=True)
class Catalog:
    """Declarations by algorithm, and their union by topic and by online table.

    `lateness` and `idle` are the greatest that any algorithm declares for a topic, ms; `idle` None: without end.
    """

    declarations: dict[str, Declaration]
    topics: dict[str, Topic]
    lateness: dict[str, int]
    idle: dict[str, int | None]
    groups: dict[str, Group]
    predicates: dict[str, pl.Expr]
    rows: dict[str, RowSource]

    @property
    def eager(self) -> dict[str, set[str]]:
        """Tables of the windows that are computed because somebody is to read them, by `<algorithm>.<aggregate>`."""
        found: dict[str, set[str]] = {}
        for name, declaration in self.declarations.items():
            for read in reads(declaration):
                if declaration.aggregates[read.aggregate].tier == "eager":
                    found.setdefault(f"{name}.{read.aggregate}", set()).add(read.group.table)
        return found

    @property
    def tables(self) -> dict[str, str]:
        """All online tables of windows and rows, with the topic that each is made of."""
        groups = {name: group.source for name, group in self.groups.items()}
        return groups | {name: rows.source for name, rows in self.rows.items()}

    @property
    def fields(self) -> set[str]:
        """Names of the fields of all topics."""
        return {name for topic in self.topics.values() for name in topic.fields}

    def only(self, tables: Collection[str]) -> Catalog:
        """The same with no other online tables than these."""
        groups = {name: group for name, group in self.groups.items() if name in tables}
        rows = {name: source for name, source in self.rows.items() if name in tables}
        return replace(self, groups=groups, rows=rows)


def catalog(declarations: Mapping[str, Declaration], kept: Sequence[Declaration] = ()) -> Catalog:
    """Union of the declarations, and of the windows and rows of those that are kept for bundles of theirs.

    Raises SaimaError where two of the first declare a source of one name differently. A topic has the fields of what is
    kept, too.
    """
    result = Catalog(dict(declarations), {}, {}, {}, {}, {}, {})
    owners: dict[str, str] = {}
    for name, declaration in sorted(declarations.items()):
        for topic, schema in topics(declaration).items():
            if topic in (JOURNAL, DEAD_LETTER, RULES, SILENCE, DECLARATIONS):
                raise SaimaError(f"algorithms/{name}: source '{topic}' has the name of an engine's topic; rename it")
            known = result.topics.setdefault(topic, schema)
            if known != schema:
                raise SaimaError(
                    f"algorithms/{name} and algorithms/{owners[topic]} declare source '{topic}' with different fields; "
                    "one topic has one schema: take it in by `use:` or rename one"
                )
            owners.setdefault(topic, name)
            bound = milliseconds(declaration.sources[topic].lateness)
            result.lateness[topic] = max(bound, result.lateness.get(topic, 0))
            result.idle[topic] = _longer(declaration.sources[topic].idle, result.idle.get(topic, 0))
    for declaration in kept:
        for topic, schema in topics(declaration).items():
            fields = dict(result.topics[topic].fields) if topic in result.topics else {}
            for field, dtype in schema.fields.items():
                fields.setdefault(field, dtype)
            result.topics[topic] = Topic(topic, fields)
            bound = milliseconds(declaration.sources[topic].lateness)
            result.lateness[topic] = max(bound, result.lateness.get(topic, 0))
            result.idle[topic] = _longer(declaration.sources[topic].idle, result.idle.get(topic, 0))
    for declaration in [*declarations.values(), *kept]:
        for group in streamed(declaration):
            result.groups[group.table] = group
        result.predicates.update(predicates(declaration))
        for source in row_sources(declaration):
            result.rows[source.table] = source
    return result


def _longer(idle: str | None, known: int | None) -> int | None:
    return None if idle is None or known is None else max(milliseconds(idle), known)


def declared(folder: Path) -> dict[str, Declaration]:
    """Declarations of all algorithms in a folder; raises DeclarationError for the first that is wrong."""
    names = sorted(path.parent.name for path in folder.glob("*/algorithm.yaml"))
    return {name: load(folder / name).declaration for name in names}
