"""What the worker itself commits beside the engines' state: clocks, counts, what has been built, of which log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from saima.errors import PositionError, StoreError
from saima.stores.interfaces import OnlineRead
from saima.streams.lateness import Clock

TABLE = "worker"
KEY = "ledger"
COUNTS = ("rows", "late", "duplicates", "refused", "forgotten")


@dataclass
class Ledger:
    """generation: identity of the log; shards: of how many this is one; built: online tables whose state is complete,
    with the end of the history that they were built from (ms, 0 for none); clocks: newest event time by topic,
    ms; counts since the beginning; reasons: of the dead letters, with their numbers."""

    generation: str
    shards: int = 1
    built: dict[str, int] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    reasons: dict[str, int] = field(default_factory=dict)

    def follow(self, clocks: Mapping[str, Clock]) -> None:
        """Take over the clocks as they are now."""
        self.clocks = {topic: clock.newest for topic, clock in sorted(clocks.items())}

    def count(self, **more: int) -> None:
        """Add to the counts."""
        for name, n in more.items():
            self.counts[name] += n

    def count_reasons(self, more: Mapping[str, int]) -> None:
        """Add dead letters by reason."""
        for reason, n in more.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + n

    def pack(self) -> bytes:
        """JSON, equal for equal state."""
        return json.dumps(vars(self), sort_keys=True).encode()


def load(read: OnlineRead, generation: str, shards: int) -> Ledger | None:
    """The ledger of an earlier process; None on a fresh store.

    Raises PositionError if it belongs to another log, StoreError if to another number of shards.
    """
    (stored,) = read.get_many(TABLE, [KEY])
    if stored is None:
        return None
    document = json.loads(stored)
    if isinstance(document["built"], list):  # written before the ends of histories were kept: build again
        document["built"] = {}
    ledger = Ledger(**document)
    if ledger.generation != generation:
        raise PositionError(
            f"the online store belongs to the event log of generation {ledger.generation}, but the log here is of "
            f"generation {generation}: its position means nothing there. Put the old log back, or run `saima rebuild`"
        )
    if ledger.shards != shards:
        raise StoreError(
            f"the online store is one of {ledger.shards} shards, but SAIMA_SHARDS is {shards}: each key would have "
            "another owner. Set it back, or run `saima rebuild`"
        )
    return ledger
