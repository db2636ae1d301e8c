"""What requests ask for behind them, on one thread: keys read again, whole tables loaded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from saima.errors import StoreError
from saima.features.caches.rows import RowCache
from saima.stores.interfaces import OnlineStore

LOG = logging.getLogger("saima.features")
IDLE_SECONDS = 5.0
PENDING = 100_000
"""Keys of one table that may wait; more are asked for again by later requests."""


class Refresher:
    """One thread over an online store; it starts with the first request for it and ends when it idles.

    failures, error: refreshes that the store refused, and the last refusal ("" once one has succeeded again).
    """

    def __init__(self, online: OnlineStore) -> None:
        self.failures = 0
        self.error = ""
        self._online = online
        self._pending: dict[RowCache, dict[str, int]] = {}
        self._working = False
        self._thread: threading.Thread | None = None
        self._change = threading.Condition()

    def ask(self, cache: RowCache, keys: Iterable[str], q: int) -> None:
        """Have keys of a cache refreshed for a request at q (ms); a key that waits already waits once."""
        with self._change:
            waiting = self._pending.setdefault(cache, {})
            if len(waiting) < PENDING:
                waiting.update(dict.fromkeys(keys, q))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
                self._thread.start()
            else:
                self._change.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is pending, `seconds` at most; whether it came so far."""
        until = time.monotonic() + seconds
        with self._change:
            while self._pending or self._working:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._change.wait(left)
        return True

    def _run(self) -> None:
        while True:
            with self._change:
                self._working = False
                self._change.notify_all()
                while not self._pending:
                    if not self._change.wait(IDLE_SECONDS) and not self._pending:
                        self._thread = None
                        return
                pending, self._pending = self._pending, {}
                self._working = True
            for cache, asked in pending.items():
                self._refresh(cache, asked)

    def _refresh(self, cache: RowCache, asked: dict[str, int]) -> None:
        try:
            with self._online.read() as read:
                cache.refresh(read, asked)
        except StoreError as error:
            self.failures += 1
            if str(error) != self.error:
                LOG.warning("%s is not refreshed: %s", cache.table, error)
            self.error = str(error)
        except Exception:  # the thread must live: whatever it is, later requests ask again
            self.failures += 1
            LOG.exception("%s is not refreshed", cache.table)
        else:
            self.error = ""
