"""A held version: its state, its bundle and extractor, and the requests that lean on it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from saima.features.declaration import Journal
from saima.features.extractor import Extractor
from saima.features.faults import RequestFaults
from saima.host.bundle import Bundle
from saima.host.request import Checker
from saima.host.servable import Extracts, Servable
from saima.host.slot import State
from saima.host.tables import Tables
from saima.routing.experiments import Eligible


@dataclass(frozen=True)
class Loaded:
    """What a loaded version answers with."""

    bundle: Servable
    extractor: Extracts
    checker: Checker
    parameters: dict[str, Any]
    """Declared defaults of the parameters."""
    journal: Journal
    top_k: int | None
    eligible: Eligible | None
    """Judges experiments that declare an eligibility."""
    tables: Tables | None = None
    """Declared tables, for pre- and postprocessing; None where there is no store."""

    @cached_property
    def faults(self) -> RequestFaults | None:
        """Counts the faults of features; None where something else than features answers."""
        if not isinstance(self.extractor, Extractor) or not isinstance(self.bundle, Bundle):
            return None
        return RequestFaults(self.extractor, self.bundle.algorithm.declaration.request)


class Slot:
    """One version of one lineage in this process. States change on the reconciler's thread only."""

    def __init__(self, algorithm: str, lineage: str, publication: int, digest: str = "", tag: str = "") -> None:
        self.algorithm = algorithm
        self.lineage = lineage
        self.publication = publication
        self.digest = digest
        self.tag = tag
        self.state: State = "new"
        self.error = ""
        self.retry = False
        self.routed_at: int | None = None
        self.answered = 0
        self._loaded: Loaded | None = None
        self._leases = 0
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[str, str, int]:
        """Algorithm, lineage, publication."""
        return self.algorithm, self.lineage, self.publication

    @property
    def loaded(self) -> Loaded:
        """The loaded parts; only while a lease is held or the state is ready."""
        if self._loaded is None:
            raise RuntimeError(f"{self} holds nothing: it is {self.state}")
        return self._loaded

    def fill(self, loaded: Loaded) -> None:
        """Become ready with loaded parts."""
        with self._lock:
            self._loaded = loaded
            self.state = "ready"

    def fail(self, error: str, retry: bool) -> None:
        """Become an error; `retry` allows a fresh attempt with the next epoch."""
        with self._lock:
            self.state, self.error, self.retry = "error", error, retry

    def lease(self) -> bool:
        """Lean on the version for one request; False once it drains. `release` must follow."""
        with self._lock:
            if self.state != "ready":
                return False
            self._leases += 1
            return True

    def release(self) -> None:
        """End a lease."""
        with self._lock:
            self._leases -= 1

    def drain(self) -> None:
        """Take no more leases."""
        with self._lock:
            self.state = "draining"

    def close_if_free(self) -> bool:
        """Close a draining version that nobody leans on any more, and give its memory back."""
        with self._lock:
            if self.state != "draining" or self._leases:
                return False
            loaded, self._loaded, self.state = self._loaded, None, "gone"
        if loaded is not None:
            loaded.bundle.close()
        return True

    def __str__(self) -> str:
        return f"{self.algorithm}/{self.lineage} #{self.publication}"

    def document(self, routed: bool) -> dict[str, Any]:
        """The slot as its status shows it; a ready version is routed or standby."""
        state = self.state if self.state != "ready" else ("routed" if routed else "standby")
        return {
            "algorithm": self.algorithm,
            "lineage": self.lineage,
            "publication": self.publication,
            "digest": self.digest,
            "state": state,
            "routed_at": self.routed_at,
            "answered": self.answered,
            "error": self.error,
        }
