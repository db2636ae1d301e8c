"""Which records of the log are old enough to go: by age and by size, never what a consumer has yet to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from saima.events import Position


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment as retention sees it: its last offset, when it was appended (ms UTC), its bytes."""

    last: int
    appended: int
    size: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Trim before `before`; `held` names the consumers that kept more than age and size would have."""

    before: int
    held: tuple[str, ...]


class Trimmable(Protocol):
    """A log that can tell its extents and cut them."""

    def extents(self) -> list[Extent]: ...

    def consumers(self) -> dict[str, Position]: ...

    def trim(self, before: int, consumers: Mapping[str, Position] | None = None) -> int: ...


def decide(
    extents: Iterable[Extent], consumers: Mapping[str, Position], *, now: int, age: int | None, size: int | None
) -> Cut:
    """Where to cut: segments older than `age` (ms), and the oldest ones while all together exceed `size` (bytes).

    >>> extents = [Extent(last=10, appended=0, size=5), Extent(last=20, appended=900, size=5)]
    >>> decide(extents, {"worker": {0: 15}}, now=1000, age=500, size=None)
    Cut(before=11, held=())
    >>> decide(extents, {"worker": {0: 15}}, now=1000, age=None, size=4)
    Cut(before=16, held=('worker',))
    """
    ordered = sorted(extents, key=lambda extent: extent.last)
    excess = 0 if size is None else sum(extent.size for extent in ordered) - size
    before = 1
    for extent in ordered:
        old = age is not None and extent.appended < now - age
        if not old and excess <= 0:
            break
        excess -= extent.size
        before = extent.last + 1
    held = tuple(name for name, position in sorted(consumers.items()) if position.get(0, 0) < before - 1)
    return Cut(min([before, *(consumers[name].get(0, 0) + 1 for name in held)]), held)


def retain(
    log: Trimmable, *, now: int, age: int | None = None, size: int | None = None,
    consumers: Mapping[str, Position] | None = None,
) -> Cut:  # fmt: skip
    """Cut a log by age (ms) and size (bytes), as far as registered and given consumers allow; returns what was done."""
    known = {**log.consumers(), **(consumers or {})}
    cut = decide(log.extents(), known, now=now, age=age, size=size)
    if cut.before > 1:
        log.trim(cut.before, known)
    return cut
