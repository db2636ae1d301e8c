"""Records of any form in, standard events out: each once, or refused, counted and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saima.events import Event
from saima.features.declaration import Source
from saima.streams.adapters.limits import MAX_RECORD
from saima.streams.adapters.reading import Reader
from saima.streams.adapters.refusals import Refusal, Refused
from saima.streams.dedup import Seen
from saima.streams.engine import Change

CLOCK = "adapter"
"""Key under which `changes` gives the number of the last record and the counts."""

_SURROGATE = (b"\\ud", b"\\uD")


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
        self._readers = [Reader(topic, source) for topic, source in sources.items()]
        self._seen = Seen(horizon)
        self.number = 0
        self.counts: Counter[str] = Counter()

    def adapt(self, records: Sequence[bytes | Mapping[str, Any]], now: int) -> Adapted:
        """Events of records that came at `now` (ms UTC), in their order. Never raises for what a record holds."""
        result = Adapted()
        for record in records:
            self.number += 1
            data = record if isinstance(record, bytes) else _bytes(record)
            topic = ""
            try:
                document = _document(data)
                reader = self._reader(document)
                topic = reader.topic
                event = reader.read(document, data, now)
            except Refusal as refusal:
                self.counts[refusal.reason] += 1
                result.refused.append(Refused(self.number, topic, refusal.reason, str(refusal), data))
                continue
            if self._seen.judge(topic, [event.id], [event.time], [self.number])[0]:
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

    def _reader(self, document: Mapping[str, Any]) -> Reader:
        for reader in self._readers:
            if reader.takes(document):
                return reader
        names = ", ".join(reader.topic for reader in self._readers)
        raise Refusal("no_source", f"the record fits the 'when' of none of {names}")


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_RECORD:
        raise Refusal("too_large", f"the record has {len(data)} bytes; at most {MAX_RECORD}")
    try:
        found = json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("not_json", f"{type(error).__name__}: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise Refusal("not_an_object", f"the record is {type(found).__name__}, not an object")
    if any(mark in data for mark in _SURROGATE):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refusal("not_unicode", "the record holds half of a surrogate pair") from None
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _bytes(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, default=str).encode("utf-8", "surrogatepass")
