"""Components: what a closed hop keeps of its events, each a commutative monoid over events (time, seq, value).

Several measures read the same component (a mean reads `count` and `sum`). The law, tested: `merge` of the partials of
two runs of events is the partial of both together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

Row = tuple[int, int, Any]
"""An event inside a window: (time, seq, value), ordered by all three."""


class Component(Protocol):
    """A monoid of partials. `columns` are struct codes of its packed columns; "" packs as JSON."""

    @property
    def columns(self) -> str: ...

    def of(self, rows: Sequence[Row]) -> Any:
        """Partial of a run of events that is ordered and not empty."""
        ...

    def merge(self, parts: Sequence[Any]) -> Any:
        """Partial of several runs together, at least one."""
        ...

    def pack(self, part: Any) -> tuple[Any, ...]:
        """Values for the packed columns, or one JSON value."""
        ...

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Partials from slices of the packed columns, or of the JSON values."""
        ...

    def gather(self, columns: Sequence[Sequence[Any]]) -> Any:
        """Partial of all hops in slices of the packed columns, at least one: `merge(unpack(columns))`, but quick."""
        ...


@runtime_checkable
class ByValue(Component, Protocol):
    """A component that does not look at times."""

    def of_values(self, values: Sequence[Any]) -> Any:
        """Partial of the values of a run that is ordered and not empty."""
        ...


class Document(ABC):
    """A partial that packs as one JSON value."""

    columns = ""

    @abstractmethod
    def merge(self, parts: Sequence[Any]) -> Any:
        """As the protocol says."""

    def gather(self, columns: Sequence[Sequence[Any]]) -> Any:
        return self.merge(self.unpack(columns))

    def pack(self, part: Any) -> tuple[Any]:
        return (part,)

    def unpack(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        return list(columns[0])
