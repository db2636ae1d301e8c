"""Looks behind the answers: what the features of a request could not compute, counted for a few of them."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING, Any

from saima.host.lane import Full, Lane, Ticket

if TYPE_CHECKING:
    from saima.host.channel import Channel
    from saima.host.lease import Slot
    from saima.host.meter import Meter
    from saima.host.request import Ask

_LOOKED = 0.01
"""Most of the requests that are looked at: it computes their features once more, without haste."""
_APART = 1.0
"""Least seconds between two looks."""
_SHARE = 0.01
"""Most of a core's time that looks take."""
_ITEMS = 50
"""Most candidates of a request that are looked at, drawn at random."""
_SECONDS = 5.0


class Looks:
    """Chooses requests, and counts the faults of their features in a lane that nobody waits for."""

    def __init__(self, lane: Lane, meter: Meter, random: Random) -> None:
        self._lane = lane
        self._meter = meter
        self._random = random
        self._next = 0.0

    def due(self, slot: Slot) -> bool:
        """Whether the request at hand is to be looked at."""
        chosen = self._random.random() < min(slot.loaded.journal.full, _LOOKED)
        return chosen and time.monotonic() >= self._next

    def look(self, ask: Ask, slot: Slot, time_: int, channel: Channel) -> None:
        """Count, later, the faults of a request that a version has answered at time q (ms UTC).

        channel: what the version's own preprocessing asks and reads, once more.
        """
        self._next = time.monotonic() + _APART

        def body(_: Ticket) -> None:
            if not slot.lease():
                return
            begun = time.thread_time()
            try:
                faults = slot.loaded.faults
                if faults is None:
                    return
                asked: dict[str, Any] = {"request": ask.request, "user": ask.user, "items": ask.items}
                if slot.loaded.bundle.preprocess:
                    asked = slot.loaded.bundle.preprocess(asked, channel)
                if asked["items"] and len(asked["items"]) > _ITEMS:
                    asked = {**asked, "items": self._random.sample(asked["items"], _ITEMS)}
                self._meter.faults(ask.algorithm, *faults.count(**asked, time=time_))
            finally:
                slot.release()
                took = time.thread_time() - begun
                self._next = max(self._next, time.monotonic() + took / _SHARE)

        try:
            self._lane.submit(body, _SECONDS)
        except Full:
            self._meter.count("faults_unseen")
