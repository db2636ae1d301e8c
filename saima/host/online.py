"""The online store as the host sees it: opened when it is there, tried again when it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from saima.errors import StoreError
from saima.stores.interfaces import OnlineRead, OnlineStore, OnlineWrite


class PatientOnline:
    """An online store that may not exist yet: `read` raises StoreError until it can be opened, tried once a second."""

    def __init__(
        self, opens: Callable[[], OnlineStore], pause: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._opens = opens
        self._pause = pause
        self._clock = clock
        self._store: OnlineStore | None = None
        self._error = ""
        self._tried = float("-inf")
        self._lock = threading.Lock()

    def read(self) -> AbstractContextManager[OnlineRead]:
        """A read transaction. Raises StoreError while there is no store."""
        store = self._store
        return (store or self._open()).read()

    def write(self) -> AbstractContextManager[OnlineWrite]:
        """Refused: the stream worker is the only writer."""
        raise StoreError("the host only reads the online store; the stream worker writes it")

    def close(self) -> None:
        """Close the store if it is open."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def _open(self) -> OnlineStore:
        with self._lock:
            if self._store is None:
                if self._clock() - self._tried < self._pause:
                    raise StoreError(self._error)
                self._tried = self._clock()
                try:
                    self._store = self._opens()
                except StoreError as error:
                    self._error = str(error)
                    raise
            return self._store
