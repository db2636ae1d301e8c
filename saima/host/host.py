"""The algorithm host: one process that holds versions, swaps them without a pause, answers, and journals."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from saima.errors import RequestError, StoreError
from saima.features.algorithm import Algorithm
from saima.features.declaration import Declaration
from saima.host.answerer import Answerer
from saima.host.drain import Drainer
from saima.host.features import FeatureService, Question
from saima.host.lane import Lane, Ticket
from saima.host.lease import Loaded
from saima.host.loader import Loader
from saima.host.meter import Meter
from saima.host.reads import FACT, Reads, tables_of
from saima.host.reconcile import Reconciler
from saima.host.source import RegistrySource, Source
from saima.host.spool import Spool
from saima.settings import Settings
from saima.stores import open_log, open_registry
from saima.stores.interfaces import BundleRow, EventLog

LOG = logging.getLogger("saima.host")
_STATUS_SECONDS = 1.0


def wall_clock() -> int:
    """Now, in ms UTC."""
    return time.time_ns() // 1_000_000


class Host:
    """One process's host: `start`, then `predict` from any thread, then `stop`. Also the embedded mode.

    source: desired state (default: the registry). load: how a published bundle is opened. journal: False serves without
    a log, and every answer then counts as dropped. poll: seconds between looks at the deployment.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source | None = None,
        load: Callable[[BundleRow], Loaded] | None = None,
        journal: bool = True,
        clock: Callable[[], int] = wall_clock,
        poll: float = 0.25,
    ) -> None:
        self.settings = settings
        self.boot = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.meter = Meter()
        self.source = source or RegistrySource(open_registry(settings))
        self.log: EventLog | None = open_log(settings) if journal else None
        self._spool = Spool(settings.home / "spool", self.boot) if self.log else None
        self._drainer = Drainer(self._spool, self.log) if self._spool and self.log else None
        self._answerer = Answerer(self._spool, self.meter, clock)
        self._loader = Loader(settings)
        self._features = FeatureService(self._loader.online)
        self._reads = Reads()
        self._clock = clock
        self._wake, self._halt, self._settled = threading.Event(), threading.Event(), threading.Event()
        self._started, self._poll = clock(), poll
        self._broken = ""
        self._reconciler = Reconciler(
            self.source, load or self._loader.load, self._answerer.adopt, self.boot, clock, wake=self._wake.set
        )
        self._thread = threading.Thread(target=self._reconcile, name="reconcile", daemon=True)

    def start(self) -> None:
        """Start reconciling and draining; versions route as they become ready."""
        if self._drainer:
            self._drainer.start()
        self._thread.start()

    def settle(self, seconds: float) -> bool:
        """Wait until every wanted version has been loaded or has failed, `seconds` at most; whether it came so far."""
        return self._settled.wait(seconds)

    def stop(self) -> None:
        """Finish what is in the lanes, drain the spool, close everything."""
        self._halt.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._answerer.close()
        self._reconciler.close()
        if self._drainer:
            self._drainer.stop()
        self._publish("stopped")
        self._loader.close()
        if self.log:
            self.log.close()

    @property
    def ready(self) -> bool:
        """Whether every algorithm of the deployment has a version that answers."""
        routes = self._answerer.table.routes
        return bool(routes) and all(route.default for route in routes.values())

    def predict(self, body: Any, seconds: float | None = None, trace: str | None = None) -> dict[str, Any]:
        """Answer a request body, as `POST /v1/predict` does; blocks until the deadline at most.

        Raises RequestError: 4xx for what the caller sent, 429 Full, 500 and 503 where nothing can answer, 504 Expired.
        """
        return self._answerer.wait(*self._answerer.submit(body, seconds, trace))

    def submit(
        self, body: Any, seconds: float | None = None, trace: str | None = None, raw: bytes = b""
    ) -> tuple[Lane, Ticket]:
        """Start a prediction without waiting; the ticket's future gets the answer or the error.

        raw: the body's JSON, where it came as such; the journal then keeps it instead of writing the body anew.
        """
        return self._answerer.submit(body, seconds, trace, raw)

    def admit(self, raw: bytes, seconds: float | None = None) -> None:
        """Raise Full for a JSON body that its lane would refuse now; other bodies are for `submit` to judge."""
        self._answerer.admit(raw, seconds)

    def give_up(self, lane: Lane, ticket: Ticket) -> None:
        """Raise Expired for a ticket whose deadline has passed, unless its answer is about to arrive."""
        self._answerer.give_up(lane, ticket)

    def features(self, question: Question) -> dict[str, Any]:
        """Answer a question as `GET /v1/features` does, by the definitions of the versions that answer by default.

        Raises RequestError: see FeatureService.answer; 503 while nothing answers.
        """
        algorithms: dict[str, Algorithm] = {}
        timed: set[str] = set()
        for name, route in self._answerer.table.routes.items():
            slot = route.default
            if slot is None or not slot.lease():
                continue
            try:
                algorithm = slot.loaded.bundle.algorithm
            finally:
                slot.release()
            if isinstance(algorithm, Algorithm):
                algorithms[name] = algorithm
                timed |= {name} if route.state.allow_request_time else set()
        if not algorithms:
            raise RequestError("nothing is deployed yet; ask again", status=503)
        found = self._features.answer(question, algorithms, self._clock(), timed)
        tiles = (tables for one in found["features"] for tables in one["version"]["tiles"].values())
        self._reads.note((table for tables in tiles for table in tables), self._clock())
        return found

    def declarations(self) -> dict[str, Declaration]:
        """Declarations of the algorithms that answer, by name."""
        found = {name: route.default for name, route in self._answerer.table.routes.items()}
        return {
            name: slot.loaded.bundle.algorithm.declaration
            for name, slot in found.items()
            if slot is not None and slot.state == "ready"
        }

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Statuses of all hosts that share the registry, this one's as of now."""
        try:
            known = self.source.statuses("host/")
        except StoreError as error:
            LOG.warning("the statuses of the other hosts cannot be read: %s", error)
            known = {}
        return {**known, f"host/{self.boot}": self.status()}

    def status(self) -> dict[str, Any]:
        """Status of this process, as published to `host/<boot>`; answers = journalled + dropped."""
        measured = self.meter.snapshot()
        spool, drainer, answerer = self._spool, self._drainer, self._answerer
        behind = self._loader.caches.refresher
        errors = [
            self._broken,
            self._reconciler.error,
            drainer.error if drainer else "",
            spool.error if spool else "",
            behind.error,
        ]
        return {
            "pid": os.getpid(),
            "boot": self.boot,
            "started": self._started,
            "epoch": answerer.table.epoch,
            "slots": self._reconciler.documents(),
            "error": next((error for error in errors if error), ""),
            "answers": measured["counts"].get("answers", 0),
            "journalled": (spool.written if spool else 0) - answerer.shadowed,
            "dropped": (spool.dropped if spool else 0) + measured["counts"].get("unspooled", 0),
            "shadowed": answerer.shadowed,
            "drained": drainer.journalled if drainer else 0,
            "inherited": drainer.inherited if drainer else 0,
            "lanes": {name: {"waiting": lane.waiting, "size": lane.size} for name, lane in answerer.lanes.items()},
            "breakers": answerer.breakers.open(),
            "caches": self._loader.caches.numbers(),
            **measured,
        }

    def _reconcile(self) -> None:
        published = float("-inf")
        while not self._halt.is_set():
            try:
                changed = self._reconciler.step()
                if self._reconciler.settled:
                    self._settled.set()
                changed, self._broken = changed or bool(self._broken), ""
            except Exception as error:  # noqa: BLE001 - the thread must live; the status shows the error
                changed = self._break(error)
            if changed or time.monotonic() - published >= _STATUS_SECONDS:
                self._publish("running")
                published = time.monotonic()
            self._wake.wait(self._poll)
            self._wake.clear()

    def _break(self, error: Exception) -> bool:
        """Show what reconciling died of, which it will try again; whether that is news."""
        text = f"reconciling failed; epoch {self._answerer.table.epoch} stays in force: {type(error).__name__}: {error}"
        self.meter.count("reconcile_failed")
        if text == self._broken:
            return False
        LOG.error(text, exc_info=error)
        self._broken = text
        return True

    def _windows_of(self, name: str) -> list[str]:
        """Tables of the windows that the versions of an algorithm read which answer."""
        route = self._answerer.table.routes.get(name)
        tables: set[str] = set()
        for slot in route.slots.values() if route is not None else ():
            if slot.lease():
                try:
                    algorithm = slot.loaded.bundle.algorithm
                finally:
                    slot.release()
                tables |= set(tables_of(algorithm)) if isinstance(algorithm, Algorithm) else set()
        return sorted(tables)

    def _publish(self, state: str) -> None:
        try:
            status = self.status()
            self.source.publish(f"host/{self.boot}", {**status, "state": state})
            self._reads.answered(status["traffic"], self._windows_of, self._clock())
            for table, at in self._reads.take().items():
                self.source.fact(f"{FACT}{table}", {"at": at})
        except StoreError as error:
            LOG.warning("the status is not published: %s", error)
