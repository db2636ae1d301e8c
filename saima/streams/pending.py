"""What the join keeps of one trace: the predictions of its parts, and labels and exposures until their rows are out."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saima.streams.predicted import Plan, Predicted
from saima.streams.schemes import JoinSpec, Label, rows

_LENGTH = struct.Struct("<I")
_HEADER = json.JSONEncoder(separators=(",", ":"))


@dataclass(slots=True)
class Pending:
    """One trace. `parts` are its predictions by number, ascending, `of` how many there are to be (1: the candidates
    were asked for in one request); `exposures` holds times, ascending.
    """

    parts: dict[int, Predicted] = field(default_factory=dict)
    of: int = 1
    labels: dict[str, list[Label]] = field(default_factory=dict)
    exposures: dict[str, list[int]] = field(default_factory=dict)
    _holders: dict[str, Predicted] | None = field(default=None, repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether every part has come, so that nobody else can hold an item."""
        return len(self.parts) >= self.of

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.parts or self.labels or self.exposures)

    @property
    def closed(self) -> bool:
        """Whether nothing can come of any part that is here."""
        return all(one.closed for one in self.parts.values())

    def take(self, part: int, of: int, one: Predicted) -> Sequence[Predicted]:
        """Put in a part's prediction; returns those whose items it changes, its own among them."""
        known = self.parts.get(part)
        self.of = max(self.of, of, part + 1)
        self.parts[part] = one
        if self.of == 1:
            return (one,)
        self.parts = dict(sorted(self.parts.items()))
        if known is None and self._holders is not None and self._holders.keys().isdisjoint(one.items):
            self._holders |= dict.fromkeys(one.items, one)
            return (one,)
        self._holders = None
        return tuple(self.parts.values())

    def forget(self) -> None:
        """Drop the stubs; what waits for a part that has not come waits on."""
        if self.complete:
            self.labels, self.exposures = {}, {}
        self.parts, self.of, self._holders = {}, 1, None

    def holder(self, item: str) -> Predicted | None:
        """The prediction to which labels and exposures of an item belong; None where none that came has the item.

        Of several with one item the earliest (time, attempt, part) holds it, as none that comes within the lateness
        can have made rows before; what has made rows, or is over, keeps what it held.
        """
        return self.parts.get(0) if self.of == 1 else self._by_item().get(item)

    def held(self, one: Predicted) -> tuple[str, ...]:
        """Items of a prediction that no other part holds."""
        if self.of == 1:
            return one.items
        held = self._by_item()
        return tuple(item for item in one.items if held[item] is one)

    def exposed(self, spec: JoinSpec, one: Predicted, item: str) -> int | None:
        """The earliest exposure of an item that the prediction can have led to: at most the attribution before it."""
        since = one.time - spec.attribution
        return next((time for time in self.exposures.get(item, ()) if time >= since), None)

    def plan(self, spec: JoinSpec, one: Predicted) -> Plan:
        """The rows of each item that a prediction holds, emitted ones too; none of one that makes none."""
        if one.excluded or one.closed:
            return ()
        held = None if self.of == 1 else self._by_item()
        return [
            rows(spec, one.time, self.labels.get(item, ()), self.exposed(spec, one, item) if spec.exposed else None)
            if held is None or held[item] is one
            else ()
            for item in one.items
        ]

    def next_moment(self, spec: JoinSpec) -> int | None:
        """The watermark must pass this time for anything to happen to the trace; None: nothing will."""
        moments = [one.next_moment(spec, self.plan(spec, one)) for one in self.parts.values() if not one.closed]
        moments += [one for one in (self.over(spec), self.waits(spec)) if one is not None]
        return min(moments, default=None)

    def over(self, spec: JoinSpec) -> int | None:
        """When the last stub is of no use any more, since what comes later is one without prediction; None: not yet."""
        newest = None
        for one in self.parts.values():
            if not one.closed:
                return None
            if newest is None or one.time > newest:
                newest = one.time
        return None if newest is None else newest + 2 * spec.attribution

    def waits(self, spec: JoinSpec) -> int | None:
        """When the first label or exposure that waits for a part has waited too long; None: nothing waits."""
        if self.complete:
            return None
        times = [label.time for item in self.waiting(self.labels) for label in self.labels[item]]
        times += [time for item in self.waiting(self.exposures) for time in self.exposures[item]]
        return min(times) + spec.attribution if times else None

    def expire(self, oldest: int) -> int:
        """Drop labels and exposures from before `oldest` that wait for a part; returns how many labels."""
        dropped = 0
        for item in self.waiting(self.labels):
            kept = [label for label in self.labels[item] if label.time >= oldest]
            dropped += len(self.labels[item]) - len(kept)
            self.labels[item] = kept
            if not kept:
                del self.labels[item]
        for item in self.waiting(self.exposures):
            self.exposures[item] = [time for time in self.exposures[item] if time >= oldest]
            if not self.exposures[item]:
                del self.exposures[item]
        return dropped

    def waiting(self, by_item: Mapping[str, object]) -> list[str]:
        """Items that nobody holds yet."""
        return [item for item in by_item if self.holder(item) is None]

    def pack(self) -> bytes:
        """Bytes: length of the header, header as JSON, records of the parts."""
        labels, exposures = dict(sorted(self.labels.items())), dict(sorted(self.exposures.items()))
        header: dict[str, Any]
        if self.of == 1:
            one = self.parts.get(0)
            header = {
                "t": one.time if one else None,
                "a": one.attempt if one else 0,
                "x": bool(one and one.excluded),
                "i": one.items if one else ("",),
                "l": labels,
                "e": exposures,
                "m": dict(sorted(one.made.items())) if one else {},
                "c": bool(one and one.closed),
            }
        else:
            parts = [
                [part, one.time, one.attempt, one.excluded, one.items, dict(sorted(one.made.items())), one.closed,
                 len(one.record)]
                for part, one in self.parts.items()
            ]  # fmt: skip
            header = {"n": self.of, "p": parts, "l": labels, "e": exposures}
        text = _HEADER.encode(header).encode()
        return b"".join([_LENGTH.pack(len(text)), text, *(one.record for one in self.parts.values())])

    @classmethod
    def unpack(cls, packed: bytes) -> Pending:
        """The inverse of `pack`."""
        (length,) = _LENGTH.unpack_from(packed)
        end = 4 + length
        header = json.loads(packed[4:end])
        labels = {item: [Label(*label) for label in labels] for item, labels in header["l"].items()}
        made = cls({}, header.get("n", 1), labels, header["e"])
        if "p" in header:
            for part, time, attempt, excluded, items, emitted, closed, size in header["p"]:
                record = packed[end : end + size]
                made.parts[part] = Predicted(time, attempt, excluded, tuple(items), record, emitted, closed)
                end += size
        elif header["t"] is not None:
            items, record = tuple(header["i"]), packed[end:]
            time, attempt, excluded = header["t"], header["a"], header["x"]
            made.parts[0] = Predicted(time, attempt, excluded, items, record, header["m"], header["c"])
        return made

    def _by_item(self) -> dict[str, Predicted]:
        """Holders by item: the best comes last and stays."""
        if self._holders is None:
            order = sorted(self.parts.items(), key=lambda of: (not of[1].closed, of[1].time, of[1].attempt, of[0]))
            self._holders = {item: one for _, one in reversed(order) for item in one.items}
            for _, one in order:
                self._holders |= dict.fromkeys(one.made, one)
        return self._holders
