"""What the feature service reads of the online store: one transaction for all extractors, and how old windows are."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from saima.errors import StoreError
from saima.features.keys import key_text
from saima.features.windows.codec import Codec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.needs import WindowNeed
    from saima.features.windows import Window
    from saima.features.windows.codec import Packed
    from saima.stores.interfaces import OnlineRead, OnlineStore, OnlineWrite


class OneRead:
    """An online store whose reads on one thread are all the one transaction that `hold` has begun."""

    def __init__(self, online: OnlineStore) -> None:
        self._online = online
        self._held = threading.local()

    @contextmanager
    def hold(self) -> Iterator[OnlineRead]:
        """Begin the transaction of this thread. Raises StoreError."""
        with self._online.read() as read:
            self._held.read = read
            try:
                yield read
            finally:
                self._held.read = None

    def read(self) -> AbstractContextManager[OnlineRead]:
        """The transaction that is held, or one of its own."""
        held: OnlineRead | None = getattr(self._held, "read", None)
        return self._online.read() if held is None else nullcontext(held)

    def write(self) -> AbstractContextManager[OnlineWrite]:
        """Refused: features are only read."""
        raise StoreError("the feature service only reads the online store")

    def close(self) -> None:
        """Nothing: who opened the store closes it."""


class Ages:
    """Newest events that the windows of one group hold."""

    def __init__(self, need: WindowNeed) -> None:
        self._need = need
        self._codec = Codec(need.read.group)

    def newest(self, read: OnlineRead, values: Mapping[str, Any], q: int) -> dict[str, int]:
        """Event time (ms) of the newest event in each window column at q; a column without one is absent.

        values: input columns of the key. Where the newest event lies in a closed hop, it is the hop's start. Raises
        StoreError.
        """
        need = self._need
        key = key_text([values.get(name) for name in need.inputs])
        data = None if key is None else read.get_many(need.read.group.table, [key])[0]
        if data is None:
            return {}
        packed = self._codec.open(data)
        found = {ask.column: newest_event(packed, need.read.group.hops, ask.window, q) for ask in need.asks}
        return {column: time for column, time in found.items() if time is not None}


def newest_event(packed: Packed, hops: tuple[int, ...], window: Window, q: int) -> int | None:
    """Time of the newest event in [tail, q), to the hop where it lies in closed ones; None if there is none."""
    tail = window.tail(q)
    stop = bisect_left(packed.times, q)
    if stop and packed.times[stop - 1] >= tail:
        return packed.times[stop - 1]
    if stop or not window.hop:
        return None
    closed = [packed.levels[place][0] for place, hop in enumerate(hops) if hop <= window.hop]
    return max((starts[-1] for starts in closed if len(starts) and starts[-1] >= tail), default=None)
