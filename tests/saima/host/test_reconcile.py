"""Deployments that change faster than versions load: the newest is reached, and something answers all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from saima.host.lease import Loaded
from saima.host.reconcile import Reconciler
from saima.host.table import RoutingTable
from saima.routing.deployment import AlgorithmState, Deployment, LineageState
from saima.stores.interfaces import BundleRow, DeploymentRow

from .conftest import Doubling, eventually, loaded


class Documents:
    """A source whose newest document the test sets; every bundle there is can be had."""

    def __init__(self) -> None:
        self.row = DeploymentRow(0, Deployment().sealed(), "test", "test", 0)

    def want(self, routed: int, standby: list[int]) -> None:
        state = AlgorithmState(lineages={"main": LineageState(routed=routed, standby=standby)}, default_lineage="main")
        document = Deployment(algorithms={"toy": state}).sealed()
        self.row = DeploymentRow(self.row.epoch + 1, document, "test", "test", 0)

    def deployment(self) -> DeploymentRow:
        return self.row

    def deployments(self) -> list[DeploymentRow]:
        return [self.row]

    def bundle(self, publication: int) -> BundleRow:
        return BundleRow(publication, "toy", "main", f"digest-{publication}", f"toy:{publication}", "nowhere", {}, 0)

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        return

    def fact(self, name: str, document: Mapping[str, Any]) -> None:
        return

    def mark(self, kind: str, document: Mapping[str, Any]) -> None:
        return


class Slow:
    """A reconciler whose loads end when the test says so."""

    def __init__(self) -> None:
        self.source = Documents()
        self.gate = threading.Semaphore(0)
        self.tables: list[RoutingTable] = []
        self.open = False
        self.reconciler = Reconciler(self.source, self._load, self.tables.append, "boot", lambda: 0)

    def _load(self, row: BundleRow) -> Loaded:
        if not self.open:
            self.gate.acquire()
        return loaded(Doubling(row.publication))

    @property
    def answering(self) -> int | None:
        route = self.reconciler.table.routes.get("toy")
        slot = route.slots.get("main") if route else None
        return slot.publication if slot is not None and slot.state == "ready" else None

    def step(self) -> None:
        """One round of the reconciler."""
        self.reconciler.step()

    def finish_one(self) -> None:
        """End the load that is under way, if one is."""
        under_way = [slot for slot in self.reconciler.slots if slot.state == "loading"]
        if under_way:
            self.gate.release()
            eventually(lambda: any(slot.state != "loading" for slot in under_way))

    def settle(self) -> None:
        """Let all loads end, and step until nothing changes any more."""
        self.open = True
        self.gate.release(100)
        self.reconciler.step()
        eventually(lambda: not self.reconciler.step() and self.reconciler.settled)


def newer(slow: Slow) -> None:
    slow.source.want(slow.source.row.epoch + 1, [slow.source.row.epoch])


def back(slow: Slow) -> None:
    slow.source.want(max(1, slow.source.row.epoch - 1), [])


MOVES: list[Callable[[Slow], Any]] = [newer, newer, back, Slow.finish_one, Slow.finish_one, Slow.step, Slow.step]


@settings(max_examples=10)  # each collects the garbage of a whole test process
@given(st.lists(st.sampled_from(MOVES), min_size=8, max_size=30))
def test_the_newest_document_is_reached_and_something_answers_all_the_time(moves: list[Callable[[Slow], Any]]) -> None:
    slow = Slow()
    try:
        slow.source.want(1, [])
        answered = False
        for move in moves:
            move(slow)
            answered = answered or slow.answering is not None
            assert slow.answering is not None or not answered
        slow.settle()
        state = LineageState.model_validate(slow.source.row.document["algorithms"]["toy"]["lineages"]["main"])
        assert slow.answering == state.routed
        held = {slot.publication for slot in slow.reconciler.slots}
        assert held == set(state.wanted), "what nobody wants is given back"
    finally:
        slow.open = True
        slow.gate.release(100)
        slow.reconciler.close()


def test_the_version_that_answers_is_unwanted_while_the_standby_has_come_and_the_new_one_has_not() -> None:
    slow = Slow()
    slow.open = True
    slow.source.want(2, [1])
    slow.settle()
    slow.open = False
    while slow.gate.acquire(blocking=False):
        pass
    slow.source.want(3, [2])
    slow.reconciler.step()
    slow.finish_one()
    slow.source.want(4, [3])
    slow.settle()
    assert slow.answering == 4
    slow.reconciler.close()
