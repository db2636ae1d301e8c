"""Refused rows go to the dead-letter topic with their bytes and the reason, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from saima.events import DEAD_LETTER, DEAD_LETTER_TOPIC, Event, to_table
from saima.stores.interfaces import EventLog
from saima.worker.intake import Refused

LOG = logging.getLogger("saima.worker")


def post(log: EventLog, name: str, refused: Iterable[Refused], now: int) -> int:
    """Append refused rows to the log; the rows appended.

    Their offsets number them for the producer `<name>/dead_letter`: rows that a worker appended before it was killed
    come again after the restart, perhaps in another batch, and are left out.
    """
    rows = sorted(refused, key=lambda row: row.offset)
    if not rows:
        return 0
    producer = f"{name}/dead_letter"
    done = log.produced(producer)
    fresh = [row for row in rows if row.offset > done]
    if not fresh:
        return 0
    events = [
        Event(
            row.topic,
            DEAD_LETTER,
            now,
            row.offset,
            f"{row.topic}:{row.offset}",
            {"reason": row.reason, "bytes": row.data},
        )
        for row in fresh
    ]
    log.append(DEAD_LETTER, to_table(DEAD_LETTER_TOPIC, events, now), (producer, fresh[-1].offset))
    LOG.warning("refused %d rows, the first at offset %d: %s", len(fresh), fresh[0].offset, fresh[0].reason)
    return len(fresh)
