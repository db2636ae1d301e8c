"""What a request's features are computed from, gathered so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from saima.features.keys import key_text
from saima.stores.interfaces import OnlineRead

Version = list[int | None]
"""[valid_from, known_at or null, offset] of a row read."""


@dataclass
class Row:
    """Inputs gathered so far: the request's own, those of each candidate, versions, what is degraded."""

    time: int
    shared: dict[str, Any]
    items: list[dict[str, Any]] | None
    versions: dict[str, list[Version | None]] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)

    def targets(self, per_item: bool) -> list[dict[str, Any]]:
        """The rows that a read fills."""
        return (self.items or []) if per_item else [self.shared]

    def keys(self, inputs: Sequence[str], per_item: bool) -> list[str | None]:
        """Texts of the keys that those rows look up."""
        if not per_item:
            return [key_text([self.shared.get(name) for name in inputs])]
        return [key_text([item.get(name, self.shared.get(name)) for name in inputs]) for item in self.items or []]

    def degrade(self, name: str) -> None:
        """Name a table or aggregate as not read."""
        if name not in self.degraded:
            self.degraded.append(name)


class Need(Protocol):
    """What a reader reads: its name, the input columns of its key, whether it is read for each candidate."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def per_item(self) -> bool: ...


class Reader(Protocol):
    """Reads a table or an aggregate's windows row by row."""

    @property
    def need(self) -> Need: ...

    def read(self, read: OnlineRead, row: Row) -> None:
        """Fill the columns of the rows that it is read for."""
        ...
