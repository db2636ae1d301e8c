"""Records that are refused: the reason as one of a fixed set, for counting, and in words, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from saima.events import DEAD_LETTER, DEAD_LETTER_TOPIC, Event, to_table

REASONS = (
    "too_large",
    "not_json",
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
    """Why a record makes no event: `reason` is one of REASONS, the text names field, path and value."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused record: its number among all records of the adapter, the topic where it is known, its bytes."""

    number: int
    topic: str
    reason: str
    text: str
    data: bytes


def letters(name: str, refused: Iterable[Refused], now: int) -> pa.Table:
    """Dead letters of an adapter's refused records, for the topic `dead_letter`.

    To append them once, number the producer `<name>/dead_letter` by the last record's number.
    """
    events = [
        Event(
            row.topic or name,
            DEAD_LETTER,
            now,
            row.number,
            f"{name}:{row.number}",
            {"reason": f"{row.reason}: {row.text}", "bytes": row.data},
        )
        for row in refused
    ]
    return to_table(DEAD_LETTER_TOPIC, events, now)


def shown(value: object) -> str:
    """A value for a message, cut short."""
    text = ascii(value) if not isinstance(value, str | bytes) else ascii(value[:60])
    return text if len(text) <= 60 else f"{text[:57]}..."
