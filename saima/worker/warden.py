"""Acts beside the worker, so with Dagster down as well: rolls bad versions back, stops experiments whose split is
broken, moves ramps that are due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict

import polars as pl

from saima.errors import SaimaError, StoreError
from saima.features.declaration import Declaration
from saima.routing.deployment import AlgorithmState, Deployment, read_document
from saima.routing.experiments import Experiment
from saima.routing.guardrails import MARK, Breach, Mismatch, back, breaches, ended, mismatch
from saima.routing.running import due_coverage, ramp
from saima.routing.watch import Watch
from saima.stores.interfaces import Registry, Tables
from saima.worker.deeds import Deeds
from saima.worker.exposed import Exposed
from saima.worker.watched import Watched

LOG = logging.getLogger("saima.worker")
EVERY_MS = 10_000
"""Least time between two looks at what the hosts tell, and at a table of which the look before left rows."""

TABLES_MS = 60_000
"""Least time between two looks at a table."""


class Warden:
    """Looks at the routed versions and the running experiments, and acts on what breaks a rail.

    A ramp waits while a lineage of its arms is on hold.
    """

    def __init__(self, registry: Registry, tables: Tables) -> None:
        self._registry = registry
        self._deeds = Deeds(registry)
        self._watched = Watched(registry, tables)
        self._exposed = Exposed(registry, tables)
        self._looked = 0
        self._read: dict[str, int] = {}
        self._watches: dict[tuple[str, str], Watch] = {}

    def declare(self, declarations: Mapping[str, Declaration]) -> None:
        """These are the algorithms from now on."""
        self._watched.declarations = declarations

    def look(self, now: int) -> list[Breach | Mismatch]:
        """Roll back every version that breaks a rail at `now` (ms UTC), and stop every experiment whose arms' sizes do
        not fit, each as one epoch with a mark; what was broken.

        A version without a standby stays, and its breach is a mark all the same. Raises StoreError.
        """
        if now - self._looked < EVERY_MS:
            return []
        self._looked = now
        self._deeds.finish()
        row = self._registry.deployment()
        deployment = read_document(row.document)
        self._ramp(deployment, now)
        wrong, unread = self._read_tables(deployment, row.epoch, now)
        found: list[Breach] = []
        if any(_on(state) for state in deployment.algorithms.values()):
            statuses = list(self._registry.statuses("host/").values())
            found = breaches(deployment, statuses, self._registry.marks(MARK), now, self._watches)
        for breach in found:
            try:
                self._roll_back(breach, now)
            except SaimaError as error:
                raise StoreError(f"{breach.algorithm}/{breach.lineage} cannot be rolled back: {error}") from error
        for one in wrong:
            self._stop(one, deployment.algorithms[one.algorithm].started.get(one.experiment), now)
        if unread:
            raise StoreError(f"guardrails: {unread}")
        return [*found, *wrong]

    def _read_tables(self, deployment: Deployment, epoch: int, now: int) -> tuple[list[Mismatch], str]:
        """Take in the tables' new rows, of each algorithm once a minute.

        Experiments whose arms' sizes do not fit, and why a table cannot be read: what the hosts tell counts without it.
        """
        wrong, unread = [], ""
        for algorithm, state in deployment.algorithms.items():
            if now < self._read.get(algorithm, 0):
                continue
            self._watches = {key: one for key, one in self._watches.items() if key[0] != algorithm}
            self._read[algorithm] = now + TABLES_MS
            try:
                watches, more = self._watched.look(algorithm, state, now)
                self._watches |= {(algorithm, lineage): one for lineage, one in watches.items()}
                found, left = self._look_at_arms(algorithm, state, epoch)
            except (SaimaError, pl.exceptions.PolarsError, OSError) as error:
                unread = f"tables of '{algorithm}': {error}"
                continue
            wrong += found
            if more or left:
                self._read[algorithm] = now + EVERY_MS
        return wrong, unread

    def _look_at_arms(self, algorithm: str, state: AlgorithmState, epoch: int) -> tuple[list[Mismatch], bool]:
        rails = state.layout.guardrails
        if not rails.srm:
            return [], False
        self._exposed.forget(algorithm, state)
        arms = {one.experiment: self._exposed.look(algorithm, state, one, epoch) for one in state.experiments}
        found = [mismatch(algorithm, one, arms[one.experiment].units, rails) for one in state.experiments]
        return [one for one in found if one is not None], any(one.more for one in arms.values())

    def _ramp(self, deployment: Deployment, now: int) -> None:
        for algorithm, state in deployment.algorithms.items():
            for one in state.experiments:
                started = state.started.get(one.experiment)
                coverage = None if started is None else due_coverage(one, started, now)
                if coverage is None or _held(state, one):
                    continue
                reason = f"the declared ramp of {one.experiment} has come to {coverage:g} %"
                told = {"algorithm": algorithm, "experiment": one.experiment, "action": "ramp", "coverage": coverage,
                        "author": "ramp", "reason": reason}  # fmt: skip
                try:
                    self._deeds.do(ramp(algorithm, one.experiment, coverage), "ramp", reason, [("experiment", told)])
                except SaimaError as error:
                    LOG.warning("%s, but it stays at %g %%: %s", reason, one.coverage, error)

    def _roll_back(self, breach: Breach, now: int) -> None:
        evidence = {**asdict(breach), "at": now}
        told = {"algorithm": breach.algorithm, "lineage": breach.lineage, "publication": breach.publication,
                "reason": breach.reason, "at": now}  # fmt: skip
        marks = [(MARK, {**evidence, "rolled_back": True}), ("rollback", told)]
        row = self._deeds.do(back(breach), "guardrail", breach.reason, marks)
        if row is None:
            current = self._registry.deployment()
            self._registry.append_mark(MARK, {**evidence, "rolled_back": False, "epoch": current.epoch,
                                              "to": breach.publication})  # fmt: skip
        LOG.warning(
            "%s/%s %d: %s; %s", breach.algorithm, breach.lineage, breach.publication, breach.reason,
            "it has no standby and stays" if row is None else "its standby is routed again",
        )  # fmt: skip

    def _stop(self, wrong: Mismatch, started: int | None, now: int) -> None:
        evidence = {**asdict(wrong), "rail": "srm", "reason": wrong.reason, "at": now}
        told = {"algorithm": wrong.algorithm, "experiment": wrong.experiment, "action": "stop", "coverage": None,
                "author": "guardrail", "reason": wrong.reason, "at": now}  # fmt: skip
        marks = [(MARK, evidence), ("experiment", told)]
        row = self._deeds.do(ended(wrong, started, now), "guardrail", wrong.reason, marks)
        if row is not None:
            LOG.warning("%s/%s was stopped: %s", wrong.algorithm, wrong.experiment, wrong.reason)


class Patrol(threading.Thread):
    """Lets a warden look until it is stopped, on a thread of its own: a table that is slow to read holds nothing up."""

    def __init__(self, warden: Warden, clock: Callable[[], int]) -> None:
        super().__init__(name="warden", daemon=True)
        self._warden = warden
        self._clock = clock
        self._halt = threading.Event()
        self._warned = ""

    def run(self) -> None:
        """Look now and then; what is down is tried again next time."""
        while not self._halt.is_set():
            try:
                self._warden.look(self._clock())
            except StoreError as error:
                if str(error) != self._warned:
                    LOG.warning("%s", error)
                self._warned = str(error)
            except Exception:  # whatever is wrong with one look, the rails stay up
                LOG.exception("a look at the guardrails failed")
            self._halt.wait(1.0)

    def stop(self) -> None:
        """Stop after the look that is running."""
        self._halt.set()
        if self.is_alive():
            self.join()


def _on(state: AlgorithmState) -> bool:
    return bool(state.layout.guardrails.bounds) or state.layout.guardrails.watched


def _held(state: AlgorithmState, experiment: Experiment) -> bool:
    lineages = (state.lineages.get(arm.lineage or "") for arm in experiment.arms.values())
    return any(lineage is not None and lineage.hold is not None for lineage in lineages)
