"""All accepted events up to a position: those in the event tables and those that wait in the outboxes of the shards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import polars as pl

from saima.errors import StoreError
from saima.events import Topic
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore, Tables
from saima.stores.shards import Share
from saima.worker import outbox
from saima.worker.history import history_frames

PAUSE = 0.05
"""Seconds between two looks at shards that are behind."""


class Stopped(Exception):  # no error: somebody asked for it
    """The worker was told to stop while it waited for other shards."""


class Accepted:
    """The accepted events of a home, as one of its shards needs them to build state."""

    def __init__(self, settings: Settings, share: Share, tables: Tables) -> None:
        self._settings = settings
        self._share = share
        self._tables = tables

    def frames(
        self,
        topics: Sequence[Topic],
        upto: int,
        ends: Mapping[str, int],
        stop: threading.Event | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> dict[str, pl.LazyFrame]:
        """Accepted rows by topic up to an offset, for which the other shards are waited for.

        Raises Stopped if `stop` is set before these have come so far.
        """
        if self._share.alone or not upto:
            return history_frames(self._tables, topics, upto, ends)
        with ExitStack() as opened:
            stores = [open_online(shard, self._settings) for shard in range(self._share.shards)]
            for store in stores:
                opened.callback(store.close)
            if not await_shards(stores, upto, stop or threading.Event(), say):
                raise Stopped
            return accepted(stores, self._tables, topics, upto, ends)


def await_shards(stores: Sequence[OnlineStore], offset: int, stop: threading.Event, say: Callable[[str], None]) -> bool:
    """Wait until every shard's state covers an offset; False if `stop` was set before. `say` is told of who is behind.

    The events of an id belong to one shard, so what another appends is not there before it has come so far.
    """
    while True:
        behind = [shard for shard, store in enumerate(stores) if _covered(store) < offset]
        if not behind:
            return True
        say(f"waiting for shard {behind[0]} to reach offset {offset}")
        if stop.wait(PAUSE):
            return False


def accepted(
    stores: Iterable[OnlineStore], tables: Tables, topics: Sequence[Topic], upto: int, ends: Mapping[str, int]
) -> dict[str, pl.LazyFrame]:
    """Accepted rows by topic up to an offset that all shards cover; see `history_frames`."""
    waiting = _waiting(stores, topics, upto)  # before the tables: a row leaves the outbox after it came to its table
    frames = history_frames(tables, topics, upto, ends)
    for topic, rows in waiting.items():
        known = frames.get(topic)
        if known is None:
            frames[topic] = rows.lazy()
            continue
        fresh = rows.lazy().join(known.select("offset"), on="offset", how="anti", maintain_order="left")
        frames[topic] = pl.concat([known, fresh], how="diagonal_relaxed")
    return frames


def _waiting(stores: Iterable[OnlineStore], topics: Sequence[Topic], upto: int) -> dict[str, pl.DataFrame]:
    """Accepted rows by topic that stand in the outboxes."""
    entries: dict[str, list[pl.DataFrame]] = {}
    for store in stores:
        with store.read() as read:
            for topic in topics:
                found = read.scan(outbox.table(f"events/{topic.name}"))
                entries.setdefault(topic.name, []).extend(pl.DataFrame(outbox.unpacked(data)) for _, data in found)
    return {
        topic: pl.concat(rows, how="diagonal_relaxed").filter(~pl.col("late") & (pl.col("offset") <= upto))
        for topic, rows in entries.items()
        if rows
    }


def _covered(store: OnlineStore) -> int:
    try:
        with store.read() as read:
            return read.position().get(0, 0)
    except StoreError:
        return -1  # it has not been started yet
