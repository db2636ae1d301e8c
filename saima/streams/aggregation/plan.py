"""Which definitions share state: one group of tiles for all that count the same events of the same keys.

Equal definitions are one. Those of one source, key, value and condition share tiles: a mean reads the sum and the
count, a coarser window the finer tiles. Sketches share only with an equal error, sums of floats only with equal
windows, since both would give other values in other company.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from saima.errors import SaimaError
from saima.features.declaration import Aggregate, Declaration, Request, Source, Tier
from saima.features.windows import Ask, Group, reads
from saima.features.windows.definition import ADDITIVE, FLOATS
from saima.features.windows.grouping import check
from saima.streams.aggregation.definition import Definition

TIERS: tuple[Tier, ...] = ("eager", "on_read", "batch")


class NotStreamed(SaimaError):
    """A read of an aggregate that only the batch path computes."""


@dataclass(frozen=True)
class Answer:
    """What one definition reads of one group."""

    table: str
    asks: tuple[Ask, ...]


@dataclass
class Plan:
    """Groups by table with the tier of their most eager reader; answers and column names by definition."""

    definitions: dict[str, Definition]
    across: bool = True
    groups: dict[str, Group] = field(default_factory=dict)
    tiers: dict[str, Tier] = field(default_factory=dict)
    answers: dict[str, tuple[Answer, ...]] = field(default_factory=dict)
    """By digest."""
    owners: dict[str, set[str]] = field(default_factory=dict)
    """Algorithms that read a group, by table."""

    def __post_init__(self) -> None:
        self.same: dict[str, list[str]] = {}
        for name, definition in self.definitions.items():
            self.same.setdefault(definition.digest, []).append(name)

    @property
    def digest(self) -> str:
        """Hash of all that is computed, and where it is kept."""
        return hashlib.sha256("\n".join([*sorted(self.same), *sorted(self.groups)]).encode()).hexdigest()[:16]

    def definition(self, name: str) -> Definition:
        """A definition by name. Raises SaimaError if there is none, NotStreamed for one of the batch path alone."""
        found = self.definitions.get(name)
        if found is None:
            raise SaimaError(f"no aggregate '{name}'; there are {', '.join(sorted(self.definitions)) or 'none'}")
        if found.tier == "batch" and found.digest not in self.answers:
            raise NotStreamed(f"aggregate '{name}' is of tier batch: read it from history, or make it eager or on_read")
        return found


def plan(found: Iterable[Definition], sources: Mapping[str, Source], *, across: bool = True) -> Plan:
    """Merge definitions over their sources. Raises DeclarationError for what cannot be computed.

    across: also of several algorithms; without it these share equal states alone, as in the worker, where an algorithm
    that comes or goes leaves the tables of others as they are.
    """
    result = Plan({definition.name: definition for definition in found}, across)
    families: dict[tuple[object, ...], dict[str, Definition]] = {}
    tiers: dict[str, Tier] = {}
    for definition in result.definitions.values():
        _check(definition, sources)
        if definition.tier == "batch":
            continue
        algorithm = "" if across else algorithm_of(definition)
        families.setdefault((*family(definition, sources), algorithm), {}).setdefault(definition.digest, definition)
        tiers[definition.digest] = min(tiers.get(definition.digest, "batch"), definition.tier, key=TIERS.index)
    for members in families.values():
        _share(result, members, sources, tiers)
    return result


def algorithm_of(definition: Definition) -> str:
    """The algorithm whose definition it is."""
    return definition.name.partition(".")[0]


def _check(definition: Definition, sources: Mapping[str, Source]) -> None:
    """Refuse what cannot be computed, also where an equal definition already is."""
    (aggregate, *_) = _aggregates({definition.digest: definition}).values()
    check(definition.name, aggregate, dtype_of(definition, sources))


def dtype_of(definition: Definition, sources: Mapping[str, Source]) -> str | None:
    """Declared type of the value; None where events are counted or the source is unknown."""
    source = sources.get(definition.source)
    return None if source is None or definition.value is None else source.fields.get(definition.value)


def family(definition: Definition, sources: Mapping[str, Source]) -> tuple[object, ...]:
    """What definitions must have in common to share state without a change of any value."""
    inexact = dtype_of(definition, sources) in FLOATS and bool(ADDITIVE & set(definition.measures))
    return (
        definition.source, definition.key, definition.value, definition.where, definition.error,
        tuple(sorted(definition.windows)) if inexact else None,
    )  # fmt: skip


def _share(
    result: Plan, members: Mapping[str, Definition], sources: Mapping[str, Source], tiers: Mapping[str, Tier]
) -> None:
    """Make the groups of one family, and what each of its definitions reads of them."""
    merged = Declaration.model_construct(
        algorithm="", sources=dict(sources), request=Request(), aggregates=_aggregates(members), features={}
    )
    for read in reads(merged):
        table, digest = read.group.table, read.aggregate.partition("/")[0]
        result.groups[table] = read.group
        result.owners.setdefault(table, set()).add(algorithm_of(members[digest]))
        result.tiers[table] = min(result.tiers.get(table, "batch"), tiers[digest], key=TIERS.index)
        result.answers[digest] = _joined(result.answers.get(digest, ()), Answer(table, read.asks))


def _joined(answers: tuple[Answer, ...], more: Answer) -> tuple[Answer, ...]:
    """Answers with one more; what is read of one group is read at once."""
    same = [answer.asks for answer in answers if answer.table == more.table]
    others = [answer for answer in answers if answer.table != more.table]
    return (*others, Answer(more.table, (*(ask for asks in same for ask in asks), *more.asks)))


def _aggregates(members: Mapping[str, Definition]) -> dict[str, Aggregate]:
    """Definitions as a declaration has them: one for each hop, by `<digest>/<hop>`."""
    found: dict[str, Aggregate] = {}
    for digest, definition in members.items():
        hops: dict[int, set[int]] = {}
        for width, hop in definition.windows:
            hops.setdefault(hop, set()).add(width)
        for hop, widths in hops.items():
            found[f"{digest}/{hop}"] = Aggregate.model_construct(
                source=definition.source, key=list(definition.key), value=definition.value, where=definition.where,
                measures=sorted(set(definition.measures)), windows=[f"{width}ms" for width in sorted(widths)],
                hop=f"{hop}ms" if hop else "0", k=definition.k, exact=definition.exact, error=definition.error,
            )  # fmt: skip
    return found


def columns(definition: Definition, ask: Ask) -> list[str]:
    """Names under which a definition declared what an ask reads: `<measure>_<window>`."""
    shape = (ask.window.width, ask.window.hop)
    return [
        f"{ask.measure}_{text}"
        for text, window in zip(definition.texts, definition.windows, strict=True)
        if window == shape
    ]
