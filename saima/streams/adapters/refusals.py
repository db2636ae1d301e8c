"""Records that are refused: the reason as one of a fixed set, for counting, and in words, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from saima.events import DEAD_LETTER, DEAD_LETTER_TOPIC, Event, to_table

REASONS = (
    "too_large",
    "not_json",
    "not_text",
    "wrong_columns",
    "not_an_object",
    "not_unicode",
    "no_source",
    "no_time",
    "wrong_time",
    "future",
    "past",
    "no_key",
    "long_key",
    "no_id",
    "long_id",
    "wrong_seq",
    "wrong_type",
    "not_enumerated",
)


class Refusal(Exception):
    """Why a record makes no event: `reason` is one of REASONS, the text names field, path and value; `topic` is that of
    the source, "" while it is not known."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        self.topic = ""
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused record: its number among all records of the adapter, the topic where it is known, its bytes."""

    number: int
    topic: str
    reason: str
    text: str
    data: bytes


def reason_of(text: str) -> str:
    """The reason of a dead letter, out of its text.

    >>> reason_of("no_key: 'user', the key, is missing or empty"), reason_of("as letters were once written")
    ('no_key', 'other')
    """
    reason, found, _ = text.partition(": ")
    return reason if found and reason.replace("_", "").isalpha() else "other"


def letters(name: str, refused: Iterable[Refused], now: int, call: str = "") -> pa.Table:
    """Dead letters of refused records, for the topic `dead_letter`; `call` tells numbers of several calls apart.

    To append them once, number the producer `<name>/dead_letter` by the last record's number.
    """
    events = [
        Event(
            row.topic or name,
            DEAD_LETTER,
            now,
            row.number,
            f"{name}{call}:{row.number}",
            {"reason": f"{row.reason}: {row.text}", "bytes": row.data},
        )
        for row in refused
    ]
    return to_table(DEAD_LETTER_TOPIC, events, now)


def shown(value: object) -> str:
    """A value for a message, cut short."""
    text = ascii(value) if not isinstance(value, str | bytes) else ascii(value[:60])
    return text if len(text) <= 60 else f"{text[:57]}..."
