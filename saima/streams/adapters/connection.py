"""What comes over one connection: each record is of the first source that takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.events import Event
from saima.features.declaration import Source
from saima.features.record import Delimited
from saima.streams.adapters.layouts import document
from saima.streams.adapters.reading import Reader
from saima.streams.adapters.refusals import Refusal


class Connection:
    """Records of any of `sources`, by topic; those of several layouts may come mixed. It has no state."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._readers = [Reader(topic, source) for topic, source in sources.items()]

    def read(self, data: bytes, now: int) -> Event:
        """The event of a record that came at `now` (ms UTC). Raises Refusal, with the topic where it is known."""
        documents: dict[tuple[str, ...], dict[str, Any] | Refusal] = {}
        for reader in self._readers:
            delimited = reader.delimited
            layout = () if delimited is None else (delimited.separator, *delimited.columns)
            if layout not in documents:
                documents[layout] = _tried(data, delimited)
            found = documents[layout]
            if isinstance(found, Refusal) or not reader.takes(found):
                continue
            try:
                return reader.read(found, data, now)
            except Refusal as refusal:
                refusal.topic = reader.topic
                raise
        refusals = [found for found in documents.values() if isinstance(found, Refusal)]
        if refusals and len(refusals) == len(documents):
            raise refusals[0]
        names = ", ".join(reader.topic for reader in self._readers)
        raise Refusal("no_source", f"the record fits the 'when' of none of {names}")


def _tried(data: bytes, delimited: Delimited | None) -> dict[str, Any] | Refusal:
    try:
        return document(data, delimited)
    except Refusal as refusal:
        return refusal
