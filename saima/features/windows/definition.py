"""What a window is: sawtooth bounds, the default hop, and the groups of aggregates that share one state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from saima.errors import DeclarationError, suggest
from saima.features.declaration import Aggregate, Declaration
from saima.features.durations import milliseconds

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

HEAD = 2 * HOUR
"""How far behind the newest event of a key a read is at least exact; a source's lateness makes it longer."""

NUMERIC = frozenset({"sum", "mean", "min", "max", "variance"})
ADDITIVE = frozenset({"sum", "mean", "variance"})
LISTS = frozenset({"first_k", "last_k", "top_k"})
MEASURES = NUMERIC | LISTS | frozenset({"count", "first", "last", "distinct", "histogram"})
"""Every measure a window can have."""


def default_hop(width: int) -> int:
    """Hop of a window that declares none, both in ms.

    >>> default_hop(6 * HOUR) // MINUTE, default_hop(12 * HOUR) // HOUR, default_hop(12 * DAY) // DAY
    (5, 1, 1)
    """
    if width < 12 * HOUR:
        return 5 * MINUTE
    return HOUR if width < 12 * DAY else DAY


@dataclass(frozen=True, slots=True)
class Window:
    """A window of `width` ms whose tail is rounded down to `hop` ms; hop 0 is the exact sliding window."""

    text: str
    width: int
    hop: int

    def tail(self, q: int) -> int:
        """First event time that counts for a read at q: floor(q - width, hop).

        >>> Window("1h", HOUR, 5 * MINUTE).tail(HOUR + MINUTE)
        0
        """
        start = q - self.width
        return start if self.hop == 0 else start // self.hop * self.hop


def window(text: str, hop: str | None = None) -> Window:
    """The window that a declaration's texts mean; ValueError says what is wrong with a duration."""
    width = milliseconds(text)
    if width <= 0:
        raise ValueError(f"'{text}' is an empty window")
    step = default_hop(width) if hop is None else (0 if hop.strip() == "0" else milliseconds(hop))
    return Window(text, width, step)


@dataclass(frozen=True)
class Group:
    """Aggregates of one source, key, value and condition: per key they share one packed entity.

    The hops of its windows divide one another. `dtype` is the value's declared type (None: events are counted),
    `k` the longest list, `keep` how many ms behind a key's newest event every event is kept.
    """

    source: str
    key: tuple[str, ...]
    value: str | None
    dtype: str | None
    where: str | None
    windows: tuple[Window, ...]
    measures: frozenset[str]
    k: int
    lateness: int
    head: int = field(default=HEAD)

    @cached_property
    def table(self) -> str:
        """Name of the group's table in the online store; equal definitions share it."""
        parts = [
            self.source, self.key, self.value, self.dtype, self.where, self.k, self.lateness, self.head,
            [(w.width, w.hop) for w in self.windows], sorted(self.measures),
        ]  # fmt: skip
        return f"tile/{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    @cached_property
    def slide(self) -> int:
        """Width of the widest window with hop 0, which needs its events; 0 without one."""
        return max((w.width for w in self.windows if w.hop == 0), default=0)

    @cached_property
    def keep(self) -> int:
        """How far behind a key's newest event its events are kept, ms."""
        return max(self.lateness, self.head) + self.slide

    @cached_property
    def hops(self) -> tuple[int, ...]:
        """Hops of the levels of partials, finest first; () if every window has hop 0."""
        return tuple(sorted({w.hop for w in self.windows if w.hop}))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Widest window of each level, as `hops`."""
        return tuple(max(w.width for w in self.windows if w.hop == hop) for hop in self.hops)

    @cached_property
    def reach(self) -> int:
        """How far behind a key's newest event the oldest event lies that its entity may still reflect, ms."""
        return self.keep + 2 * max(self.hops, default=0) + max(self.widths, default=0)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def is_float(self) -> bool:
        return self.dtype in ("float32", "float64")


@dataclass(frozen=True)
class Ask:
    """One column that a plan reads: `<aggregate>.<measure>_<window>`; `k` cuts its lists."""

    column: str
    measure: str
    window: Window
    k: int


@dataclass(frozen=True)
class WindowRead:
    """What one aggregate can read of one group; `exact` as declared."""

    aggregate: str
    group: Group
    exact: bool
    asks: tuple[Ask, ...]


def chains(hops: Iterable[int]) -> list[tuple[int, ...]]:
    """Hops parted into chains in which each divides the next.

    >>> chains([60, 5, 7])
    [(5, 60), (7,)]
    """
    result: list[list[int]] = []
    for hop in sorted(set(hops)):
        for chain in result:
            if hop % chain[-1] == 0:
                chain.append(hop)
                break
        else:
            result.append([hop])
    return [tuple(chain) for chain in result]


def check(name: str, aggregate: Aggregate, dtype: str | None) -> None:
    """Refuse a measure that is unknown, that its value's type does not allow, or that would not be exact."""
    where = f"aggregates.{name}"
    for measure in aggregate.measures:
        if measure not in MEASURES:
            raise DeclarationError(f"{where}: unknown measure '{measure}'{suggest(measure, MEASURES)}")
        if dtype is None and measure != "count":
            raise DeclarationError(f"{where}: measure '{measure}' needs a value; name a field of '{aggregate.source}'")
        if measure in NUMERIC and dtype == "string":
            raise DeclarationError(f"{where}: measure '{measure}' needs a number, '{aggregate.value}' is a string")
        if measure in ADDITIVE and dtype in ("float32", "float64") and aggregate.exact:
            raise DeclarationError(
                f"{where}: a {measure} of {dtype} is not exact; write 'exact: false' or use an int64 or decimal value"
            )


def reads(declaration: Declaration) -> list[WindowRead]:
    """What the aggregates of a declaration can read, over the groups that they share.

    Raises DeclarationError for a measure, window or field that cannot be.
    """
    names = list(declaration.aggregates)
    parsed = {name: _windows(name, declaration.aggregates[name]) for name in names}
    families: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        families.setdefault(_family(declaration.aggregates[name]), []).append(name)
    result = []
    for members in families.values():
        groups = _groups(declaration, members, parsed)
        for name in members:
            aggregate = declaration.aggregates[name]
            for group in groups:
                asks = tuple(
                    Ask(f"{name}.{measure}_{w.text}", measure, w, aggregate.k)
                    for w in parsed[name] if any((w.width, w.hop) == (o.width, o.hop) for o in group.windows)
                    for measure in aggregate.measures
                )  # fmt: skip
                if asks:
                    result.append(WindowRead(name, group, aggregate.exact, asks))
    return result


def groups(declaration: Declaration) -> list[Group]:
    """The distinct groups behind the aggregates of a declaration, ordered by table name."""
    found = {read.group.table: read.group for read in reads(declaration)}
    return [found[table] for table in sorted(found)]


def _windows(name: str, aggregate: Aggregate) -> list[Window]:
    try:
        return [window(text, aggregate.hop) for text in aggregate.windows]
    except ValueError as error:
        raise DeclarationError(f"aggregates.{name}: {error}") from error


def _family(aggregate: Aggregate) -> tuple[object, ...]:
    return aggregate.source, _key(aggregate), aggregate.value, (aggregate.where or "").strip() or None


def _key(aggregate: Aggregate) -> tuple[str, ...]:
    return (aggregate.key,) if isinstance(aggregate.key, str) else tuple(sorted(aggregate.key))


def _groups(declaration: Declaration, members: list[str], parsed: dict[str, list[Window]]) -> list[Group]:
    aggregates = [declaration.aggregates[name] for name in members]
    first = aggregates[0]
    source = declaration.sources.get(first.source)
    if source is None:
        raise DeclarationError(
            f"aggregates.{members[0]}: unknown source '{first.source}'{suggest(first.source, declaration.sources)}"
        )
    for name in [*_key(first), *([first.value] if first.value else [])]:
        if name not in source.fields:
            raise DeclarationError(
                f"aggregates.{members[0]}: '{first.source}' has no field '{name}'{suggest(name, source.fields)}"
            )
    dtype = source.fields[first.value] if first.value else None
    for name, aggregate in zip(members, aggregates, strict=True):
        check(name, aggregate, dtype)
    distinct = {(w.width, w.hop): w for name in members for w in parsed[name]}
    ordered = [Window("", *pair) for pair in sorted(distinct)]
    parts = chains(w.hop for w in ordered if w.hop) or [()]
    return [
        Group(
            source=first.source,
            key=_key(first),
            value=first.value,
            dtype=dtype,
            where=(first.where or "").strip() or None,
            windows=tuple(w for w in ordered if w.hop in chain or (w.hop == 0 and place == 0)),
            measures=frozenset(m for a in aggregates for m in a.measures),
            k=max(a.k for a in aggregates),
            lateness=milliseconds(source.lateness),
        )
        for place, chain in enumerate(parts)
    ]
