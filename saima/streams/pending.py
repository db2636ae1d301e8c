"""What the join keeps of one trace: its prediction until every row is out, its labels, and a stub afterwards."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from saima.streams.schemes import JoinSpec, Label, Row, rows

_LENGTH = struct.Struct("<I")


@dataclass(slots=True)
class Pending:
    """One trace. `items` are the candidates that the journal kept ("" for a request that is its own one row);
    `exposures` holds times, ascending; `made` counts the rows already emitted per item; `record` is the journal's JSON,
    empty once nothing can follow.
    """

    time: int | None = None
    attempt: int = 0
    excluded: bool = False
    items: tuple[str, ...] = ("",)
    record: bytes = b""
    labels: dict[str, list[Label]] = field(default_factory=dict)
    exposures: dict[str, list[int]] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    closed: bool = False

    def pack(self) -> bytes:
        """Bytes: length of the header, header as JSON, record."""
        header = {
            "t": self.time,
            "a": self.attempt,
            "x": self.excluded,
            "i": self.items,
            "l": {
                item: [[label.time, label.seq, label.offset, label.value, label.appended] for label in labels]
                for item, labels in sorted(self.labels.items())
            },
            "e": dict(sorted(self.exposures.items())),
            "m": dict(sorted(self.made.items())),
            "c": self.closed,
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        return _LENGTH.pack(len(text)) + text + self.record

    @classmethod
    def unpack(cls, packed: bytes) -> Pending:
        """The inverse of `pack`."""
        (length,) = _LENGTH.unpack_from(packed)
        header = json.loads(packed[4 : 4 + length])
        return cls(
            header["t"],
            header["a"],
            header["x"],
            tuple(header["i"]),
            packed[4 + length :],
            {item: [Label(*label) for label in labels] for item, labels in header["l"].items()},
            header["e"],
            header["m"],
            header["c"],
        )

    def exposed(self, spec: JoinSpec, item: str) -> int | None:
        """The earliest exposure of an item that the prediction can have led to: at most the attribution before it."""
        assert self.time is not None
        since = self.time - spec.attribution
        return next((time for time in self.exposures.get(item, ()) if time >= since), None)

    def due(self, spec: JoinSpec, watermark: int) -> list[tuple[int, str, Row]]:
        """Rows not yet emitted whose moment is below the watermark, as (place in items, item, row)."""
        if self.time is None or self.excluded or self.closed:
            return []
        found = []
        for index, item in enumerate(self.items):
            made = self.made.get(item, 0)
            for row in self._rows(spec, item)[made:]:
                if row.moment < watermark or spec.immediate:
                    found.append((index, item, row))
        return found

    def next_moment(self, spec: JoinSpec) -> int | None:
        """The watermark must pass this time for anything to happen to the trace; None: nothing will."""
        if self.time is None:
            times = [label.time for labels in self.labels.values() for label in labels]
            times += [time for times in self.exposures.values() for time in times]
            return min(times) + spec.attribution if times else None
        end = self.time + spec.attribution
        if self.closed:
            return end + spec.attribution
        moments = [end]
        if not self.excluded:
            for item in self.items:
                moments += [row.moment for row in self._rows(spec, item)[self.made.get(item, 0) :]]
        return min(moments)

    def _rows(self, spec: JoinSpec, item: str) -> Sequence[Row]:
        if self.time is None:
            return ()
        return rows(spec, self.time, self.labels.get(item, ()), self.exposed(spec, item))
