"""Brings the held versions to what the deployment wants, and swaps the routing table when they allow it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from saima.errors import BundleError, SaimaError, StoreError
from saima.host.garbage import keep_libraries
from saima.host.lease import Loaded, Slot
from saima.host.slot import Mode, Version, next_action
from saima.host.source import Source
from saima.host.table import RoutingTable, build
from saima.host.warming import inherit
from saima.priority import BEHIND, thread_gives_way
from saima.routing.deployment import Deployment, read_document
from saima.stores.interfaces import BundleRow

LOG = logging.getLogger("saima.host")


class Reconciler:
    """Desired state to slots to table; `step` is called by one thread, versions load on another of low priority."""

    def __init__(
        self,
        source: Source,
        load: Callable[[BundleRow], Loaded],
        swap: Callable[[RoutingTable], None],
        boot: str,
        clock: Callable[[], int],
        mode: Mode = "availability",
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.table = RoutingTable()
        self.desired = Deployment()
        self.epoch = 0
        self.error = ""
        self.slots: list[Slot] = []
        self._seen = -1
        self._source = source
        self._load = load
        self._swap = swap
        self._boot = boot
        self._clock = clock
        self._mode = mode
        self._wake = wake
        self._loader = ThreadPoolExecutor(1, "load")

    def step(self) -> bool:
        """One round: read the document, route what is ready, load or drain, close what is free; True on a change."""
        before = self._shape()
        self._poll()
        self._route()
        for algorithm, lineage in sorted({slot.key[:2] for slot in self.slots}):
            self._act(algorithm, lineage)
        self._settle()
        return self._shape() != before

    @property
    def settled(self) -> bool:
        """Whether no version waits to be loaded."""
        return not any(slot.state in ("new", "loading") for slot in self.slots)

    def documents(self) -> list[dict[str, Any]]:
        """The slots as their status shows them."""
        routed = self.table.routed()
        return [slot.document(slot in routed) for slot in sorted(self.slots, key=_order)]

    def close(self) -> None:
        """Load nothing more, and close every slot."""
        self._loader.shutdown(wait=True, cancel_futures=True)
        for slot in self.slots:
            if slot.state == "ready":
                slot.drain()
            slot.close_if_free()

    def _poll(self) -> None:
        try:
            row = self._source.deployment()
            if row.epoch == self._seen:
                return
            self._seen = row.epoch
            desired = read_document(row.document)
        except StoreError as error:
            self._keep(str(error))
            return
        self.epoch, self.desired, self.error = row.epoch, desired, ""
        self._welcome()

    def _keep(self, error: str) -> None:
        """Stay with the last good epoch; a process that has none yet takes the newest whole one of the history."""
        if error == self.error:
            return
        self.error = error
        LOG.error("epoch %d stays in force: %s", self.epoch, error)
        if self.epoch:
            return
        try:
            for row in self._source.deployments():
                if row.epoch < self._seen or self._seen < 0:
                    self.desired, self.epoch = read_document(row.document), row.epoch
                    self._welcome()
                    return
        except StoreError as second:
            LOG.error("no earlier epoch can be read: %s", second)

    def _wanted(self) -> Iterator[tuple[str, str, int]]:
        for algorithm, state in self.desired.algorithms.items():
            for lineage, one in state.lineages.items():
                for publication in one.wanted:
                    yield algorithm, lineage, publication

    def _welcome(self) -> None:
        """New slots for wanted versions that are not held, or that failed for a reason that may have passed."""
        for key in self._wanted():
            held = [slot for slot in self.slots if slot.key == key and slot.state not in ("draining", "gone")]
            retried = [slot for slot in held if slot.state == "error" and slot.retry]
            self.slots = [slot for slot in self.slots if slot not in retried]
            if len(held) == len(retried):
                self.slots.append(Slot(*key))
                self._loader.submit(self._import, key[2])

    def _act(self, algorithm: str, lineage: str) -> None:
        wanted = self.desired.lineage(algorithm, lineage).wanted
        group = [slot for slot in self.slots if slot.key[:2] == (algorithm, lineage)]
        for _ in list(group):
            versions = [Version(s.publication, s.state, s.publication in wanted) for s in group]
            action = next_action(versions, self._mode)
            if action.action == "none":
                return
            state = "new" if action.action == "load" else "ready"
            slot = next(s for s in group if s.publication == action.version and s.state == state)
            if action.action == "load":
                slot.state = "loading"
                self._loader.submit(self._fill, slot)
            elif wanted and self._mode == "availability" and slot in self.table.routed():
                group.remove(slot)  # it answers until something else can, which has to be loaded for that
            else:
                slot.drain()

    def _import(self, publication: int) -> None:
        """Import what a version runs on, before any of the versions that came with it is loaded."""
        try:
            models = self._source.bundle(publication).manifest.get("models", {})
            keep_libraries(model["kind"] for model in models.values() if model.get("remote") is None)
        except Exception as error:  # noqa: BLE001 - loading it says what is wrong
            LOG.debug("the libraries of publication %d are not imported: %s", publication, error)

    def _fill(self, slot: Slot) -> None:
        if self.table.routes:  # before the first version answers there is nobody to give way to
            thread_gives_way(BEHIND)
        try:
            row = self._source.bundle(slot.publication)
            slot.digest, slot.tag = row.digest, row.tag
            made = self._load(row)
            self._inherit(slot, made)
            slot.fill(made)
            LOG.info("%s is ready", slot)
        except BundleError as error:
            slot.fail(str(error), retry=False)
        except SaimaError as error:
            slot.fail(str(error), retry=True)
        except Exception as error:
            slot.fail(f"{type(error).__name__}: {error}", retry=True)
            LOG.exception("%s cannot be loaded", slot)
        if slot.error:
            LOG.error("%s never routes: %s", slot, slot.error)
        self._wake()

    def _inherit(self, slot: Slot, made: Loaded) -> None:
        """Compute ahead what callers ask for, as the version of the algorithm knows it that answers now."""
        for other in sorted(self.table.routed(), key=lambda one: one.lineage != slot.lineage):
            if other.algorithm == slot.algorithm and other.lease():
                try:
                    inherit(made, other.loaded)
                finally:
                    other.release()
                return

    def _route(self) -> None:
        table = build(self.epoch, self.desired, self.slots, self.table)
        if table == self.table:
            return
        self.table = table
        self._swap(table)
        for slot in sorted(table.routed(), key=lambda s: s.publication):
            if slot.routed_at is None:
                slot.routed_at = self._clock()
                self._tell(slot)

    def _tell(self, slot: Slot) -> None:
        document = {
            "algorithm": slot.algorithm,
            "lineage": slot.lineage,
            "publication": slot.publication,
            "host": self._boot,
            "at": slot.routed_at,
        }
        LOG.info("%s answers", slot)
        try:
            self._source.mark("swap", document)
        except StoreError as error:
            LOG.warning("the swap to %s is not recorded: %s", slot, error)

    def _settle(self) -> None:
        closed = [slot for slot in self.slots if slot.close_if_free()]
        wanted = set(self._wanted())
        self.slots = [
            slot
            for slot in self.slots
            if slot.state != "gone" and (slot.state not in ("new", "error") or slot.key in wanted)
        ]
        if closed:
            gc.collect()

    def _shape(self) -> tuple[Any, ...]:
        return self.epoch, self.error, self.table.epoch, [(*slot.key, slot.state) for slot in self.slots]


def _order(slot: Slot) -> tuple[str, str, int]:
    return slot.key
