"""What the warden does: an epoch of the deployment and the marks that tell of it, once, though the process may die.

What is about to be done is a fact first. Whoever looks next finds whether its epoch was written and writes the marks
that are missing; where it was not, what it was done for is still so, and is found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saima.errors import SaimaError
from saima.routing.deployment import Transition, read_document, write
from saima.stores.interfaces import DeploymentRow, Registry
from saima.worker.steps import step

FACT = "warden/deed"

Mark = tuple[str, Mapping[str, Any]]
"""Kind and document, which gets the epoch; one with a `publication` also what its lineage routes (`to`)."""


class Deeds:
    """Does one thing at a time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def do(self, transition: Transition, author: str, reason: str, marks: Sequence[Mark]) -> DeploymentRow | None:
        """Write a transition as one epoch, with its marks; None, and no marks, where it changes nothing.

        Raises what the transition and the store raise.
        """
        before = self._registry.deployment().epoch
        told = {"before": before, "author": author, "reason": reason, "marks": [list(mark) for mark in marks]}
        self._registry.put_fact(FACT, told)
        step("before_deed")
        try:
            write(self._registry, transition, author, reason)
        except SaimaError:
            self.finish()  # what failed may have failed after its epoch
            raise
        step("in_deed")
        return self.finish()

    def finish(self) -> DeploymentRow | None:
        """Write the marks that the last deed lacks; the epoch that it wrote, if it did."""
        told = self._registry.fact(FACT)
        if not told:
            return None
        since = self._registry.deployment().epoch - told["before"]
        written = [
            row
            for row in (self._registry.deployments(since) if since else [])
            if row.epoch > told["before"] and (row.author, row.reason) == (told["author"], told["reason"])
        ]
        row = written[-1] if written else None
        if row is not None:
            for kind, mark in told["marks"]:
                self._mark(kind, mark, row)
                step("after_mark")
        self._registry.put_fact(FACT, {})
        return row

    def _mark(self, kind: str, mark: Mapping[str, Any], row: DeploymentRow) -> None:
        whole = {**mark, "epoch": row.epoch}
        if "publication" in mark:
            after = read_document(row.document).lineage(mark["algorithm"], mark["lineage"])
            whole |= {"to": after.routed}
        if not any(known.get("epoch") == row.epoch for known in self._registry.marks(kind)):
            self._registry.append_mark(kind, whole)
