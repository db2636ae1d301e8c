"""The transactions of a shard: state, position and outbox in one, and the outbox cleared of what has been drained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from saima.stores.interfaces import OnlineRead, OnlineStore
from saima.streams.held import Change
from saima.worker import ledger, outbox
from saima.worker.drainer import Drained
from saima.worker.intake import packed
from saima.worker.steps import step


class Committer:
    """Writes what a cycle changed. position: offset that the committed state covers; rows, size: of the outbox."""

    def __init__(self, online: OnlineStore, book: ledger.Ledger) -> None:
        self.ledger = book
        self.position = 0
        self.rows = self.size = 0
        self._online = online

    def resume(self, book: ledger.Ledger, read: OnlineRead, sinks: Iterable[str]) -> None:
        """Continue from what an earlier process committed."""
        self.ledger = book
        self.position = read.position().get(0, 0)
        for sink in sinks:
            for _, data in read.scan(outbox.table(sink)):
                self.rows += outbox.unpacked(data).num_rows
                self.size += len(data)

    def build(
        self, changes: Sequence[Change], missing: Iterable[str], stale: Iterable[str], warm: bool = False
    ) -> None:
        """Put whole tables, made of history, in the place of those that are missing or stale; warm: while it runs."""
        with self._online.write() as txn:
            gone: list[Change] = [(table, key, None) for table in sorted(stale) for key, _ in txn.scan(table)]
            for table in sorted(missing):
                txn.make(table)
            for table, items in _by_table([*gone, *changes]).items():
                txn.put_many(table, items)
            txn.put_many(ledger.TABLE, [(ledger.KEY, self.ledger.pack())])
            txn.set_position({0: self.position})
            if warm:
                step("in_warm")

    def declare(self, last: int, changes: Iterable[Change], gone: Iterable[str]) -> None:
        """The one transaction of an order that changes declarations; gone: tables of which nothing stays."""
        with self._online.write() as txn:
            dropped: list[Change] = [(table, key, None) for table in sorted(gone) for key, _ in txn.scan(table)]
            for table, items in _by_table([*dropped, *changes]).items():
                txn.put_many(table, items)
            txn.put_many(ledger.TABLE, [(ledger.KEY, self.ledger.pack())])
            txn.set_position({0: last})
            step("in_declare")
        self.position = last

    def commit(self, last: int, changes: Iterable[Change], outputs: Mapping[str, pa.Table], drained: Drained) -> None:
        """The one transaction of a cycle, which covers the log up to `last`."""
        key = outbox.entry_key(last)
        entries = {sink: packed(table) for sink, table in outputs.items()}
        with self._online.write() as txn:
            for table, items in _by_table(changes).items():
                txn.put_many(table, items)
            txn.put_many(ledger.TABLE, [(ledger.KEY, self.ledger.pack())])
            for sink, data in entries.items():
                txn.put_many(outbox.table(sink), [(key, data)])
            for sink, keys in drained.keys.items():
                txn.put_many(outbox.table(sink), [(gone, None) for gone in keys])
            txn.set_position({0: last})
            step("in_commit")
        self.position = last
        self.rows += sum(table.num_rows for table in outputs.values()) - drained.rows
        self.size += sum(map(len, entries.values())) - drained.size

    def clear(self, drained: Drained) -> None:
        """Delete what has been drained, where no commit of rows does it."""
        if not drained.keys:
            return
        with self._online.write() as txn:
            for sink, keys in drained.keys.items():
                txn.put_many(outbox.table(sink), [(gone, None) for gone in keys])
            step("in_clear")
        self.rows -= drained.rows
        self.size -= drained.size
        step("after_clear")


def _by_table(changes: Iterable[Change]) -> dict[str, list[tuple[str, bytes | None]]]:
    tables: dict[str, list[tuple[str, bytes | None]]] = {}
    for table, key, data in changes:
        tables.setdefault(table, []).append((key, data))
    return tables
