"""What a window is: sawtooth bounds, the default hop, and the group of aggregates that share one state."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from saima.features.durations import milliseconds

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

HEAD = 2 * HOUR
"""How far behind the newest event of a key a read is at least exact; a source's lateness makes it longer."""

NUMERIC = frozenset({"sum", "mean", "min", "max", "variance"})
ADDITIVE = frozenset({"sum", "mean", "variance"})
LISTS = frozenset({"first_k", "last_k", "top_k"})
FLOATS = ("float32", "float64")
MEASURES = NUMERIC | LISTS | frozenset({"count", "first", "last", "distinct", "histogram", "approx_distinct"})
"""Every measure a window can have, beside `quantile_1` to `quantile_99`."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "count": ("count",),
    "sum": ("sum",),
    "mean": ("count", "sum"),
    "min": ("min",),
    "max": ("max",),
    "variance": ("count", "sum", "squares"),
    "first": ("oldest",),
    "last": ("newest",),
    "first_k": ("oldest",),
    "last_k": ("newest",),
    "top_k": ("greatest",),
    "distinct": ("tally",),
    "histogram": ("tally",),
    "approx_distinct": ("registers",),
}
"""Components that each measure reads (a quantile reads `buckets`, a float's variance `squares` alone)."""

_QUANTILE = re.compile(r"quantile_([1-9]\d?)")
_DECIMAL = re.compile(r"decimal\((\d+)\)")


def percent(measure: str) -> int | None:
    """Percent of a quantile; None for another measure.

    >>> percent("quantile_95"), percent("mean")
    (95, None)
    """
    match = _QUANTILE.fullmatch(measure)
    return int(match[1]) if match else None


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
    `k` the longest list, `error` that of its sketches, `keep` how many ms behind a key's newest event every event is
    kept. What is not `streamed` is computed over history alone: its table is never in the online store.
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
    error: float | None = None
    streamed: bool = True

    @cached_property
    def table(self) -> str:
        """Name of the group's table in the online store: groups of equal state share it, whatever they are read for."""
        parts = [
            self.source, self.key, self.value, self.dtype, self.where, self.keep, self.slide, self.hops, self.widths,
            self.layout,
        ]  # fmt: skip
        return f"{'tile' if self.streamed else 'history'}/{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    @cached_property
    def layout(self) -> list[tuple[str, float]]:
        """Components of a tile, each with the length of its list or the error of its sketch, 0 without."""
        names = {"count", *(name for measure in self.measures for name in needs(measure, self))}
        lengths = {
            "oldest": self.k if "first_k" in self.measures else 1,
            "newest": self.k if "last_k" in self.measures else 1,
            "greatest": self.k,
            "registers": self.error or 0,
            "buckets": self.error or 0,
        }
        return sorted((name, lengths.get(name, 0)) for name in names)

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

    @cached_property
    def digits(self) -> int:
        """Digits after the point of a decimal value, else 0."""
        match = _DECIMAL.fullmatch((self.dtype or "").replace(" ", ""))
        return int(match[1]) if match else 0

    @cached_property
    def units(self) -> int:
        """What a value is divided by to be in units: 10 ** digits."""
        return int(10**self.digits)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS


def needs(measure: str, group: Group) -> tuple[str, ...]:
    """Components that a measure reads of a group."""
    if percent(measure) is not None:
        return ("buckets",)
    return ("squares",) if measure == "variance" and group.is_float else NEEDS[measure]


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
