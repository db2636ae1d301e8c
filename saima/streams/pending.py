"""What the join keeps of one trace: its prediction until every row is out, its labels, and a stub afterwards."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from saima.streams.schemes import JoinSpec, Label, Row, rows

_LENGTH = struct.Struct("<I")
_HEADER = json.JSONEncoder(separators=(",", ":"))

Plan = Sequence[Sequence[Row]]
"""Rows by place of the item."""


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
            "l": dict(sorted(self.labels.items())),
            "e": dict(sorted(self.exposures.items())),
            "m": dict(sorted(self.made.items())),
            "c": self.closed,
        }
        text = _HEADER.encode(header).encode()
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

    def plan(self, spec: JoinSpec) -> Plan:
        """The rows of each item, emitted ones too; none of a prediction that makes none or has not come."""
        if self.time is None or self.excluded or self.closed:
            return ()
        return [rows(spec, self.time, self.labels.get(item, ()), self._shown(spec, item)) for item in self.items]

    def due(self, spec: JoinSpec, watermark: int, plan: Plan) -> list[tuple[int, str, Row]]:
        """Rows of the plan not yet emitted whose moment is below the watermark, as (place in items, item, row)."""
        found = []
        for index, of_item in enumerate(plan):
            if of_item:
                item = self.items[index]
                for row in of_item[self.made.get(item, 0) :]:
                    if row.moment < watermark or spec.immediate:
                        found.append((index, item, row))
        return found

    def next_moment(self, spec: JoinSpec, plan: Plan) -> int | None:
        """The watermark must pass this time for anything to happen to the trace; None: nothing will."""
        if self.time is None:
            times = [label.time for labels in self.labels.values() for label in labels]
            times += [time for times in self.exposures.values() for time in times]
            return min(times) + spec.attribution if times else None
        end = self.time + spec.attribution
        if self.closed:
            return end + spec.attribution
        for item, of_item in zip(self.items, plan, strict=False):
            for row in of_item[self.made.get(item, 0) :]:
                end = min(end, row.moment)
        return end

    def _shown(self, spec: JoinSpec, item: str) -> int | None:
        return self.exposed(spec, item) if spec.exposed else None
