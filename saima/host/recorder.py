"""What is kept of an answer: its record, and the record's place in the spool."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from saima.host import decide
from saima.host.drain import pack
from saima.host.journal import keep, snapshot
from saima.host.meter import Meter
from saima.host.request import Ask
from saima.host.spool import Spool


class Recorder:
    """Makes records and spools them; any number of threads.

    spool: None counts every record as not spooled. clock: ms UTC. random: chooses the candidates that a record keeps.
    """

    def __init__(self, spool: Spool | None, meter: Meter, clock: Callable[[], int], random: Random) -> None:
        self._spool = spool
        self._meter = meter
        self._clock = clock
        self._random = random

    def record(self, ask: Ask, routed: decide.Routed, made: decide.Made, shadow: bool = False) -> bytes:
        """The record of an answer as a snapshot."""
        result, slot = made.result, made.slot
        kept = keep(slot.loaded.journal, len(result.score), result.returned, self._random)
        document = decide.record_of(
            ask, made.answer, slot.digest, routed, result, kept, self._clock(), shadow, made.channel
        )
        return snapshot(document, result.features, kept.items, result.score, result.outputs, ask.raw)

    def append(self, ask: Ask, time_: int, record: bytes) -> bool:
        """Spool a record of an answer about time q (ms UTC); False where it is dropped."""
        if self._spool is None:
            self._meter.count("unspooled")
            return False
        return self._spool.append(pack(ask.algorithm, ask.trace, time_, record)) is not None
