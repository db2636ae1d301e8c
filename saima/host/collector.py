"""The collector: validates events against the declared sources and appends them to the log."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import xxhash

from saima import features as language
from saima.errors import RequestError, SaimaError, suggest
from saima.events import DEAD_LETTER, Event, Position, Topic, arrow_type, to_table
from saima.features.declaration import Source
from saima.features.encodings import Decoder
from saima.host.request import Check, check_fields, checker
from saima.stores.interfaces import EventLog
from saima.streams.adapters import Connection, Refusal, Refused, letters

LOG = logging.getLogger("saima.host")
MAX_EVENTS = 10_000
SHOWN = 10
"""Refused records that an answer names."""

_FIELDS = ("type", "time", "payload", "key", "seq", "id")


@dataclass(frozen=True)
class Accepts:
    """What one topic accepts."""

    topic: Topic
    key: str
    checks: Mapping[str, Check]
    decoders: Mapping[str, Decoder]


def accepts(sources: Mapping[str, Source]) -> dict[str, Accepts]:
    """Topics of declared sources, by name."""
    return {
        name: Accepts(
            Topic(name, {field: arrow_type(dtype) for field, dtype in source.fields.items()}),
            source.key,
            {field: checker(dtype) for field, dtype in source.fields.items()},
            {field: found for field, dtype in source.fields.items() if (found := Decoder(dtype)).needed},
        )
        for name, source in sources.items()
    }


def declared_sources(folder: Path) -> dict[str, Source]:
    """Sources of every algorithm under a folder; an algorithm that cannot be read is told and left out."""
    found: dict[str, Source] = {}
    for path in sorted(folder.glob("*/algorithm.yaml")):
        try:
            found.update(language.load(path.parent.name, root=folder).declaration.sources)
        except SaimaError as error:
            LOG.warning("events of %s are not taken: %s", path.parent.name, error)
    return found


class Collector:
    """Takes batches of events; a batch is refused as a whole, before anything of it is appended.

    `clock` gives ms UTC, the events' `appended`.
    """

    def __init__(
        self,
        log: EventLog,
        sources: Mapping[str, Source],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._log = log
        self._topics = accepts(sources)
        self._records = {name: source for name, source in sources.items() if source.record is not None}
        self._clock = clock

    def collect(self, body: Any) -> dict[str, Any]:
        """Append `{"events": [{type, time, payload, key?, seq?, id?}]}`; the count and the position of the last one.

        The key is by default the source's key field; the id by default a hash of the event, so that a repeated call
        adds nothing in the end. Raises RequestError naming the field.
        """
        if not isinstance(body, dict) or not isinstance(body.get("events"), list):
            raise RequestError("must be a list of events", "/events")
        if extra := sorted(set(body) - {"events"}):
            raise RequestError("unknown field", f"/{extra[0]}")
        if len(body["events"]) > MAX_EVENTS:
            raise RequestError(f"holds {len(body['events'])} events; at most {MAX_EVENTS}", "/events")
        events = [self._event(item, f"/events/{index}") for index, item in enumerate(body["events"])]
        position: Position = {}
        for topic, batch in _by_topic(events):
            position = self._log.append(topic, to_table(self._topics[topic].topic, batch, self._clock()))
        return {"accepted": len(events), "position": {str(key): offset for key, offset in position.items()}}

    def collect_records(self, records: Sequence[bytes], topics: Sequence[str] = ()) -> dict[str, Any]:
        """Append the events that records of other systems become, as their sources' `record` says.

        topics: the sources that they are of, absent: all that declare a `record`; each is of the first that takes it.
        A refused record goes to the dead letters with its bytes, the others are appended: counts of both, by reason,
        the first refused ones with their numbers in the call, and the position. Ids that come again are the worker's to
        drop. Raises RequestError for an unknown source or too many records.
        """
        if len(records) > MAX_EVENTS:
            raise RequestError(f"the body holds {len(records)} records; at most {MAX_EVENTS}")
        for name in topics:
            if name not in self._records:
                known = ", ".join(self._records) or "none"
                hint = suggest(name, self._records) or f"; declared: {known}"
                raise RequestError(f"no source '{name}' declares a 'record'{hint}", "source")
        if not self._records:
            raise RequestError("no source declares how its records become events: add 'record' to one")
        connection = Connection({name: self._records[name] for name in topics or self._records})
        events, refused, now = [], [], self._clock()
        for number, data in enumerate(records):
            try:
                events.append(connection.read(data, now))
            except Refusal as refusal:
                refused.append(Refused(number, refusal.topic, refusal.reason, str(refusal), data))
        position: Position = {}
        for topic, batch in _by_topic(events):
            position = self._log.append(topic, to_table(self._topics[topic].topic, batch, now))
        if refused:
            position = self._log.append(DEAD_LETTER, letters("records", refused, now, call=f"/{uuid4().hex}"))
        return {
            "accepted": len(events),
            "refused": len(refused),
            "reasons": dict(sorted(Counter(one.reason for one in refused).items())),
            "examples": [{"record": one.number, "reason": one.reason, "detail": one.text} for one in refused[:SHOWN]],
            "position": {str(key): offset for key, offset in position.items()},
        }

    def _event(self, item: Any, place: str) -> Event:
        if not isinstance(item, dict):
            raise RequestError("must be an object", place)
        for name in item:
            if name not in _FIELDS:
                raise RequestError(f"unknown field{suggest(name, _FIELDS)}", f"{place}/{name}")
        for name in ("type", "key", "id"):
            if item.get(name) is not None and (wrong := checker("string")(item[name])):
                raise RequestError(wrong, f"{place}/{name}")
        accepted = self._topics.get(item.get("type") or "")
        if accepted is None:
            known = ", ".join(sorted(self._topics)) or "none"
            raise RequestError(f"unknown type {item.get('type')!r}; declared: {known}", f"{place}/type")
        when, seq = _whole(item, "time", place), _whole({"seq": 0, **item}, "seq", place)
        payload = item.get("payload")
        if not isinstance(payload, dict):
            raise RequestError("must be an object", f"{place}/payload")
        check_fields(payload, accepted.checks, f"{place}/payload")
        for name, decoder in accepted.decoders.items():
            if payload.get(name) is not None:
                payload = {**payload, name: decoder.decode(payload[name])}
        key = item.get("key", payload.get(accepted.key))
        if key is None or key == "":
            raise RequestError("is missing, and there is no other key", f"{place}/payload/{accepted.key}")
        identity = item.get("id") or _identity(accepted.topic.name, str(key), when, seq, payload)
        return Event(str(key), accepted.topic.name, when, seq, str(identity), payload)


def _whole(item: Mapping[str, Any], name: str, place: str) -> int:
    value = item.get(name)
    wrong = "is missing" if value is None else checker("int64")(value)
    if wrong:
        raise RequestError(wrong, f"{place}/{name}")
    return int(value or 0)


def _identity(topic: str, key: str, when: int, seq: int, payload: dict[str, Any]) -> str:
    text = json.dumps([topic, key, when, seq, payload], sort_keys=True, ensure_ascii=False)
    return xxhash.xxh3_128_hexdigest(text.encode())


def _by_topic(events: Iterable[Event]) -> list[tuple[str, list[Event]]]:
    grouped: dict[str, list[Event]] = {}
    for event in events:
        grouped.setdefault(event.type, []).append(event)
    return list(grouped.items())
