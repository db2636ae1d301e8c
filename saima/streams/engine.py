"""The contract of a stream engine: pure, deterministic, and the same through events as through batches."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

import polars as pl

from saima.events import Event

Change = tuple[str, bytes | None]
"""Key of a piece of state, and its packed form or None where it is gone."""

Output = TypeVar("Output")


class Engine(Protocol[Output]):
    """State over a stream of standard events, with no clock, no I/O and no logging inside.

    For any split of a stream into batches, `process` and `process_batch` give the same outputs bit for bit; a restored
    snapshot continues identically; outputs do not depend on the order of arrival within the declared lateness.
    """

    def process(self, event: Event) -> list[Output]:
        """Outputs that one event causes: the path of low latency."""
        ...

    def process_batch(self, events: pl.DataFrame) -> pl.DataFrame:
        """Outputs of a batch, in order of their causes: the path of high throughput.

        `events` has the envelope's columns key (string), type (string), time (int64 ms), seq (int64) and id (string);
        a source's fields stand beside them under their own names, null on the rows of other types.
        """
        ...

    def advance(self, watermark: int) -> list[Output]:
        """Outputs that time alone causes, now that no event before `watermark` (ms) will come."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, packed."""
        ...

    @classmethod
    def restore(cls, snapshot: bytes) -> Self:
        """An engine that continues where the snapshot was taken."""
        ...

    def changes(self) -> list[Change]:
        """State that changed since the last call, by key, for a commit that writes only what is dirty."""
        ...
