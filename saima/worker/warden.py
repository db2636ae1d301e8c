"""Acts beside the worker's teller, so with Dagster down as well: rolls bad versions back, moves ramps that are due."""

from __future__ import annotations

import logging
from dataclasses import asdict

from saima.errors import SaimaError, StoreError
from saima.routing.deployment import AlgorithmState, Deployment, read_document, write
from saima.routing.experiments import Experiment
from saima.routing.guardrails import MARK, Breach, back, breaches
from saima.routing.running import due_coverage, ramp
from saima.stores.interfaces import Registry

LOG = logging.getLogger("saima.worker")
EVERY_MS = 10_000
"""Least time between two looks."""


class Warden:
    """Looks at what the hosts tell of the routed versions, rolls back what breaks a rail, and moves declared ramps on.

    A ramp waits while a lineage of its arms is on hold.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._looked = 0

    def look(self, now: int) -> list[Breach]:
        """Roll back every version that breaks a rail at `now` (ms UTC), each as one epoch with a mark; the breaches.

        A version without a standby stays, and its breach is a mark all the same. Raises StoreError.
        """
        if now - self._looked < EVERY_MS:
            return []
        self._looked = now
        deployment = read_document(self._registry.deployment().document)
        self._ramp(deployment, now)
        if not any(state.layout.guardrails.bounds for state in deployment.algorithms.values()):
            return []
        statuses = list(self._registry.statuses("host/").values())
        found = breaches(deployment, statuses, self._registry.marks(MARK), now)
        for breach in found:
            try:
                self._act(breach, now)
            except SaimaError as error:
                raise StoreError(f"{breach.algorithm}/{breach.lineage} cannot be rolled back: {error}") from error
        return found

    def _ramp(self, deployment: Deployment, now: int) -> None:
        for algorithm, state in deployment.algorithms.items():
            for one in state.experiments:
                started = state.started.get(one.experiment)
                coverage = None if started is None else due_coverage(one, started, now)
                if coverage is None or _held(state, one):
                    continue
                reason = f"the declared ramp of {one.experiment} has come to {coverage:g} %"
                try:
                    row = write(self._registry, ramp(algorithm, one.experiment, coverage), "ramp", reason)
                except SaimaError as error:
                    LOG.warning("%s, but it stays at %g %%: %s", reason, one.coverage, error)
                    continue
                told = {"algorithm": algorithm, "experiment": one.experiment, "action": "ramp", "coverage": coverage,
                        "epoch": row.epoch, "author": "ramp", "reason": reason}  # fmt: skip
                self._registry.append_mark("experiment", told)

    def _act(self, breach: Breach, now: int) -> None:
        before = self._registry.deployment().epoch
        row = write(self._registry, back(breach), "guardrail", breach.reason)
        after = read_document(row.document).lineage(breach.algorithm, breach.lineage)
        gone = breach.publication in after.quarantined
        evidence = {**asdict(breach), "epoch": row.epoch, "rolled_back": gone, "to": after.routed, "at": now}
        self._registry.append_mark(MARK, evidence)
        if gone and row.epoch > before:
            told = {"algorithm": breach.algorithm, "lineage": breach.lineage, "publication": breach.publication}
            self._registry.append_mark("rollback", {**told, "to": after.routed, "reason": breach.reason, "at": now})
        LOG.warning(
            "%s/%s %d: %s; %s", breach.algorithm, breach.lineage, breach.publication, breach.reason,
            f"routes {after.routed} again" if gone else "it has no standby and stays",
        )  # fmt: skip


def _held(state: AlgorithmState, experiment: Experiment) -> bool:
    lineages = (state.lineages.get(arm.lineage or "") for arm in experiment.arms.values())
    return any(lineage is not None and lineage.hold is not None for lineage in lineages)
