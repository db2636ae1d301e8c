"""The worker's outward thread: status each second, facts and reports after a drain, the push that starts a retrain.

Nothing here is on the way of a commit or of an append: registry and Dagster may be slow or down.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from saima.decisions import retrain
from saima.errors import StoreError
from saima.features.declaration import Declaration
from saima.stores.interfaces import Registry, Tables
from saima.stores.shards import Share
from saima.streams.twin import tiled
from saima.worker.drainer import key
from saima.worker.report import Reporter, assets, numbers, tiles
from saima.worker.status import together
from saima.worker.steps import step
from saima.worker.warden import Patrol, Warden

LOG = logging.getLogger("saima.worker")
REPORT_MS, TILES_MS = 5_000, 30_000
"""Least time between two reports to Dagster of tables, and of tiles, of which an algorithm may have many."""


class Teller(threading.Thread):
    """Publishes `status()` under `name` and keeps the facts `samples/<algorithm>`.

    Of several shards each keeps count of the rows that it has appended, as the fact
    `shards/<shard> of <shards>/<sink>`; the first one tells of all together what a single one would: the facts
    `samples/<algorithm>`, retrains and reports to Dagster.
    `note` is called every few seconds; `dagster` is the address of its webserver, empty if there is none; `clock`
    returns wall ms.
    """

    def __init__(
        self,
        registry: Registry,
        tables: Tables,
        declarations: Mapping[str, Declaration],
        name: str,
        status: Callable[[], Mapping[str, Any]],
        note: Callable[[], None],
        dagster: str,
        clock: Callable[[], int],
        share: Share,
    ) -> None:
        super().__init__(name="teller", daemon=True)
        self._registry = registry
        self._tables = tables
        self._declarations = declarations
        self._name = name
        self._status = status
        self._note = note
        self._dagster = dagster
        self._clock = clock
        self._share = share
        self._reporter = Reporter(registry, dagster) if dagster else None
        self._warden = Warden(registry, tables)
        self._warden.declare(declarations)
        self._patrol = Patrol(self._warden, clock)
        self._sinks: dict[str, dict[str, Any]] = {}
        self._reported = self._told_tiles = 0
        self._halt = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._warned = ""

    def appended(self, sink: str, frame: pl.DataFrame) -> None:
        """Rows went to a table (called on the drainer's thread): keep count, and the samples' fact up to date."""
        newest = _state(frame.lazy())
        with self._lock:
            known = self._sinks.get(sink)
            state = _state(self._live(sink)) if known is None else _joined(known, newest)
            self._sinks[sink] = state
        self._put_state(sink, state)
        step("after_facts")
        self._wake.set()

    def declare(self, declarations: Mapping[str, Declaration]) -> None:
        """Report and retrain these algorithms from now on."""
        self._declarations = declarations
        self._warden.declare(declarations)

    def catch_up(self, sinks: list[str]) -> None:
        """Read the state of tables that exist, since an earlier process may have appended without telling."""
        for sink in sinks:
            if self._tables.exists(sink):
                state = _state(self._live(sink))
                with self._lock:
                    self._sinks[sink] = state
                self._put_state(sink, state)

    def run(self) -> None:
        """Tell every second, and at once after a drain, until stopped."""
        if self._share.first:
            self._patrol.start()
        while not self._halt.is_set():
            self.tell()
            self._wake.wait(1.0)
            self._wake.clear()

    def stop(self) -> None:
        """Stop after the round that is running."""
        self._halt.set()
        self._wake.set()
        if self.is_alive():
            self.join()
        self._patrol.stop()

    def tell(self) -> None:
        """Publish the status, push due retrains, report to Dagster; what is down is tried again next time."""
        try:
            self._registry.set_status(self._name, self._status())
            states = self._states()
            if self._share.first:
                self._put_facts(states)
                self._push(states)
            self._report(states)
        except StoreError as error:
            if str(error) != self._warned:
                LOG.warning("%s", error)
            self._warned = str(error)

    def _push(self, states: Mapping[str, Any]) -> None:
        if not self._dagster:
            return
        for name, declaration in self._declarations.items():
            if f"{name}/samples" in states and declaration.lineages:
                for run in retrain.push(self._registry, declaration, self._dagster, self._clock()):
                    LOG.info("started a retrain of %s: run %s", name, run)

    def _report(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        now = self._clock()
        if now - self._reported < REPORT_MS:
            return
        self._reported = now
        self._note()
        if self._reporter is None or not self._share.first:
            return
        declared = {name: declaration.sources for name, declaration in self._declarations.items()}
        status = self._status() if self._share.alone else together(self._registry.statuses("worker/"))
        for asset, state in assets(declared, states).items():
            if state["dagster/row_count"] and not self._reporter.report(asset, state, numbers(asset, status)):
                return
        if now - self._told_tiles >= TILES_MS:
            self._told_tiles = now
            position = int(status["position"]["0"])
            read = {name: _aggregates(declaration) for name, declaration in self._declarations.items()}
            for asset, state in tiles(read, states, position).items():
                algorithm, _, aggregate = asset.partition("/tiles_")
                topic = read[algorithm][aggregate]
                if not self._reporter.report(asset, state, numbers(asset, status, topic)):
                    return

    def _live(self, sink: str) -> pl.LazyFrame:
        """The rows of a table that this shard has appended."""
        rows = self._tables.scan(sink).filter(pl.col("offset") > 0)
        if self._share.shards == 1:
            return rows
        return rows.filter(pl.col(key(sink)).map_batches(self._share.mask, return_dtype=pl.Boolean))

    def _states(self) -> dict[str, dict[str, Any]]:
        """States by table of the rows of all shards together."""
        if self._share.shards == 1:
            with self._lock:
                return dict(self._sinks)
        found: dict[str, dict[str, Any]] = {}
        for shard in range(self._share.shards):
            prefix = self._prefix(shard)
            for name, state in self._registry.facts(prefix).items():
                sink = name.removeprefix(prefix)
                if state["dagster/row_count"]:
                    found[sink] = _joined(found[sink], state) if sink in found else state
        return found

    def _put_state(self, sink: str, state: dict[str, Any]) -> None:
        if self._share.shards == 1:
            self._put_fact(sink, state)
        else:
            self._registry.put_fact(self._prefix(self._share.shard) + sink, state)

    def _prefix(self, shard: int) -> str:
        return f"shards/{shard} of {self._share.shards}/"

    def _put_facts(self, states: Mapping[str, dict[str, Any]]) -> None:
        if self._share.shards > 1:
            for sink, state in states.items():
                self._put_fact(sink, state)

    def _put_fact(self, sink: str, state: dict[str, Any]) -> None:
        algorithm, _, name = sink.rpartition("/")
        if name == "samples" and state["dagster/row_count"]:
            fact = {
                "count": state["dagster/row_count"],
                "newest_label_time": state["newest_label_time"],
                "newest_offset": state["offset"],
                "newest_appended": state["newest_appended"],
            }
            self._registry.put_fact(f"samples/{algorithm}", fact)


def _aggregates(declaration: Declaration) -> dict[str, str]:
    """The topic of each aggregate that keeps tiles."""
    return {name: groups[0].source for name, groups in tiled(declaration, live=True).items()}


def _state(rows: pl.LazyFrame) -> dict[str, Any]:
    columns = rows.collect_schema().names()
    wanted = [pl.len().alias("dagster/row_count"), pl.col("offset").max(), pl.col("time").max().alias("newest_time")]
    if "label_time" in columns:
        wanted += [
            pl.col("label_time").max().alias("newest_label_time"),
            pl.col("label_appended").max().alias("newest_appended"),
        ]
    return rows.select(wanted).collect().to_dicts()[0]


def _joined(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = {name: max(value, known.get(name) or value) for name, value in more.items()}
    both["dagster/row_count"] = known["dagster/row_count"] + more["dagster/row_count"]
    return both
