"""Moves spooled records to the log, its own and those of boots that ended without doing so, each exactly once."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic_core import from_json, to_json

from saima.errors import StoreError
from saima.events import JOURNAL, JOURNAL_TOPIC, Event, to_table
from saima.host.journal import text_of
from saima.host.spool import Record, Spool, abandoned, records
from saima.priority import BEHIND, thread_gives_way
from saima.stores.interfaces import EventLog

LOG = logging.getLogger("saima.host")


def _now() -> int:
    return time.time_ns() // 1_000_000


def faulty() -> bool:
    """Whether the drill `SAIMA_FAULT=journal` is on: the drainer then loses one record, and the counts must show it."""
    return os.environ.get("SAIMA_FAULT") == "journal"


def pack(algorithm: str, trace: str, time: int, record: bytes) -> bytes:
    """Bytes of a spooled record: what its event needs on one line, then the record's snapshot."""
    return to_json([algorithm, trace, time]) + b"\n" + record


def event_of(boot: str, record: Record) -> Event:
    """The journal event of a spooled record; its identity is (boot, number), which the record's JSON gets as well."""
    head, _, body = record.data.partition(b"\n")
    algorithm, trace, time_ = from_json(head)
    text = f'{text_of(body)[:-1]},"boot":"{boot}","number":{record.number}}}'
    payload = {"algorithm": algorithm, "trace": trace, "record": text}
    return Event(trace, JOURNAL, time_, record.number, f"{boot}:{record.number}", payload)


def publish(log: EventLog, boot: str, batch: list[Record], now: int) -> None:
    """Append records to the journal topic; what the log already has from this boot is left out."""
    if not batch:
        return
    done = log.produced(boot)
    fresh = [record for record in batch if record.number > done]
    if fresh:
        table = to_table(JOURNAL_TOPIC, [event_of(boot, record) for record in fresh], now)
        log.append(JOURNAL, table, (boot, fresh[-1].number))


class Drainer(threading.Thread):
    """Thread that drains one spool every `interval` seconds, and every few seconds those of ended boots.

    A log that refuses keeps the records in the spool; `error` then says why, and the next round tries again.
    """

    def __init__(self, spool: Spool, log: EventLog, interval: float = 0.2, clock: Callable[[], int] = _now) -> None:
        super().__init__(name=f"drain-{spool.boot}", daemon=True)
        self.spool = spool
        self.log = log
        self.journalled = 0
        self.inherited = 0
        self.error = ""
        self._at = 0
        self._interval = interval
        self._clock = clock
        self._halt = threading.Event()
        self._lose = faulty()

    def run(self) -> None:
        """Drain until stopped, then once more to the end."""
        thread_gives_way(BEHIND)
        rounds = 0
        while not self._halt.wait(self._interval):
            self.attempt()
            if rounds % max(1, round(2 / self._interval)) == 0:
                self.inherit()
            rounds += 1
        self.attempt()

    def attempt(self) -> bool:
        """Drain what is there; False where the log refused."""
        try:
            self._drain()
        except Exception as error:  # noqa: BLE001 - the thread must live; the status shows the error
            text = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            if text != self.error:
                LOG.warning("the log takes no journal records: %s", text)
            self.error = text
            return False
        self.error = ""
        return True

    def inherit(self) -> None:
        """Drain and delete the spools of boots that ended; a torn last record was never answered and is left out."""
        for boot, path, file in abandoned(self.spool.path.parent):
            try:
                batch = list(records(path.read_bytes()))
                publish(self.log, boot, batch, self._clock())
                path.unlink(missing_ok=True)
                self.inherited += len(batch)
                LOG.info("took over %d journal records of the ended process %s", len(batch), boot)
            except Exception as error:  # noqa: BLE001 - one spool that cannot be read keeps no other one waiting
                self.error = f"{path}: {error}"
            finally:
                os.close(file)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop after a last round; the spool's file goes if all of it has reached the log.

        A round that outlasts `timeout` seconds keeps the spool open: it, or a successor, drains what is left.
        """
        self._halt.set()
        if self.is_alive():
            self.join(timeout)
        if self.is_alive():
            self.error = f"the log has taken no records for {timeout} s; {self.spool.path} is left to a successor"
            LOG.warning(self.error)
            return
        self.spool.close(remove=self._at == self.spool.size)

    def _drain(self) -> None:
        while batch := self.spool.read(self._at):
            kept = batch
            if self._lose and self.journalled > 100:
                kept, self._lose = batch[1:], False
            publish(self.log, self.spool.boot, kept, self._clock())
            self._at = batch[-1].end
            self.journalled += len(batch)
        if self.spool.trim(self._at):
            self._at = 0


def leftover(folder: Path) -> int:
    """Bytes that wait in spools."""
    return sum(path.stat().st_size for path in folder.glob("*.spool")) if folder.exists() else 0
