"""Records of any form in, standard events out: each once, or refused, counted and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saima.events import Event
from saima.features.declaration import Source
from saima.streams.adapters.connection import Connection
from saima.streams.adapters.layouts import encoded
from saima.streams.adapters.refusals import Refusal, Refused
from saima.streams.dedup import Seen
from saima.streams.engine import Change

CLOCK = "adapter"
"""Key under which `changes` gives the number of the last record and the counts."""


@dataclass
class Adapted:
    """What a batch of records became; every record is in one of the three."""

    events: list[Event] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0


class Adapter:
    """Adapts the records of one connection to the topics of `sources`; of several the first whose `when` fits.

    Records are numbered from 1. `counts` has accepted, duplicates and every reason of refusal since the beginning. Pure
    but for its state: the wall clock is passed in. An id counts once within its topic and `horizon` ms.
    """

    def __init__(self, sources: Mapping[str, Source], horizon: int = 86_400_000) -> None:
        self._connection = Connection(sources)
        self._seen = Seen(horizon)
        self.number = 0
        self.counts: Counter[str] = Counter()

    def adapt(self, records: Sequence[bytes | Mapping[str, Any]], now: int) -> Adapted:
        """Events of records that came at `now` (ms UTC), in their order. Never raises for what a record holds."""
        result = Adapted()
        for record in records:
            self.number += 1
            data = record if isinstance(record, bytes) else encoded(record)
            try:
                event = self._connection.read(data, now)
            except Refusal as refusal:
                self.counts[refusal.reason] += 1
                result.refused.append(Refused(self.number, refusal.topic, refusal.reason, str(refusal), data))
                continue
            if self._seen.judge(event.type, [event.id], [event.time], [self.number])[0]:
                self.counts["duplicates"] += 1
                result.duplicates += 1
                continue
            self.counts["accepted"] += 1
            result.events.append(event)
        return result

    def changes(self) -> list[Change]:
        """Seen ids that changed since the last call, and number and counts."""
        state = {"number": self.number, "counts": dict(sorted(self.counts.items()))}
        return [*self._seen.changes(), (CLOCK, json.dumps(state).encode())]

    def load(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Take in what the `changes` of an earlier adapter left in the store."""
        found = dict(items)
        state = json.loads(found.pop(CLOCK, b'{"number": 0, "counts": {}}'))
        self.number, self.counts = state["number"], Counter(state["counts"])
        self._seen.restore(found.items())
