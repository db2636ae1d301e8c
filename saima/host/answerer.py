"""Answers questions: one lane an algorithm, the leased version, the breaker and fallback, the journal, the shadow."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as WaitTimeout
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from saima.errors import RequestError
from saima.host import decide
from saima.host.attempts import Attempts
from saima.host.breaker import Breakers
from saima.host.channel import Call, Send
from saima.host.deadline import left
from saima.host.lane import Expired, Full, Lane, Ticket
from saima.host.lease import Slot
from saima.host.looks import Looks
from saima.host.meter import Meter
from saima.host.recorded import Answered
from saima.host.recorder import Recorder
from saima.host.request import Ask, envelope
from saima.host.spool import Spool
from saima.host.table import Route, RoutingTable

LOG = logging.getLogger("saima.host")
MAX_SECONDS = 60.0
"""Most that an algorithm waits for another where nothing else bounds it."""
_SHADOW_QUEUE = 64
_HEAD = re.compile(rb'\s*\{\s*"algorithm"\s*:\s*"([^"\\]{1,256})"')


class Answerer:
    """Answers under the table that `adopt` set last; any number of threads may ask.

    spool: where answers are journalled; None counts every answer as dropped. clock: ms UTC.
    """

    def __init__(self, spool: Spool | None, meter: Meter, clock: Callable[[], int]) -> None:
        self.table = RoutingTable()
        self.lanes: dict[str, Lane] = {}
        self.shadowed = 0
        self._meter = meter
        self._clock = clock
        self._random = random.Random()  # noqa: S311 - samples journal rows, guards nothing
        self._attempts = Attempts(meter, lambda: self.table.epoch, self._send)
        self._recorder = Recorder(spool, meter, clock, self._random)
        self._shadow = Lane("shadow", 1, _SHADOW_QUEUE, behind=True)
        self._looks = Looks(self._shadow, meter, self._random)

    @property
    def breakers(self) -> Breakers:
        """The circuit breakers of the algorithms."""
        return self._attempts.breakers

    def adopt(self, table: RoutingTable) -> None:
        """Answer under another table from now on."""
        for name, route in table.routes.items():
            wanted = route.state.lane
            if name in self.lanes:
                self.lanes[name].resize(wanted.threads, wanted.queue)
            else:
                self.lanes = {**self.lanes, name: Lane(name, wanted.threads, wanted.queue)}
        self.table = table

    def close(self) -> None:
        """Finish what is queued, take no more."""
        for lane in [*self.lanes.values(), self._shadow]:
            lane.close()

    def admit(self, raw: bytes, seconds: float | None = None) -> None:
        """Raise Full for a JSON body that its lane would refuse, before it is parsed: under overload that costs most.

        Of a body that does not begin with its algorithm nothing is known yet.
        """
        match = _HEAD.match(raw)
        name = match[1].decode("utf-8", "replace") if match else ""
        route, lane = self.table.routes.get(name), self.lanes.get(name)
        if route is None or lane is None:
            return
        try:
            with self._charged(lane):
                lane.admit(_limit(route, seconds))
        except Full:
            self._meter.count("rejected")
            raise

    def submit(
        self, body: Any, seconds: float | None = None, trace: str | None = None, raw: bytes = b""
    ) -> tuple[Lane, Ticket]:
        """Put a request into its algorithm's lane; the ticket's future gets the answer or the error.

        raw: the body's JSON, where it came as such.
        """
        try:
            ask = envelope(body, trace, raw)
            route = self._route(ask.algorithm)
            if ask.time is not None and not route.state.allow_request_time:
                raise RequestError("the deployment does not let a caller set the time; leave it out", "/time")
            lane = self.lanes[ask.algorithm]
            return lane, self._enter(lane, lambda ticket: self._answer(ask, ticket), _limit(route, seconds))
        except Full:
            self._meter.count("rejected")
            raise
        except RequestError:
            self._meter.count("refused")
            raise

    def wait(self, lane: Lane, ticket: Ticket) -> dict[str, Any]:
        """The answer of a submitted request; blocks until its deadline at most."""
        remaining: float | None = max(0.0, ticket.deadline - time.monotonic())
        while True:
            try:
                answer: dict[str, Any] = ticket.future.result(remaining)
            except WaitTimeout:
                self.give_up(lane, ticket)
                remaining = None
            else:
                return answer

    def give_up(self, lane: Lane, ticket: Ticket) -> None:
        """Raise Expired for a ticket whose deadline has passed, unless its answer is about to arrive.

        Whoever sees it first says so, the one who waits or the thread that works on it.
        """
        holder = ticket.version or lane.holder
        if lane.give_up(ticket):
            self._meter.count("expired")
            if holder is not None:
                self._meter.turned_away(*holder)
            raise Expired(f"'{lane.name}' did not answer before the deadline; {lane.waiting} requests wait")

    def _enter(self, lane: Lane, body: Callable[[Ticket], Any], seconds: float) -> Ticket:
        """A place in the lane. Raises Full."""
        with self._charged(lane):
            return lane.submit(body, seconds)

    @contextmanager
    def _charged(self, lane: Lane) -> Iterator[None]:
        """What a lane refuses is charged to the version that holds it."""
        try:
            yield
        except Full:
            holder = lane.holder
            if holder is not None:
                self._meter.turned_away(*holder)
            raise

    def _answer(self, ask: Ask, ticket: Ticket) -> dict[str, Any] | None:
        started = perf_counter()
        time_ = ask.time if ask.time is not None else self._clock()
        route, routed, slot, degraded = self._choose(ask)
        ticket.version = slot.key
        made: decide.Made | None = None
        try:
            slot.loaded.checker.check(ask)
            made = self._attempts.compute(route, slot, ask, routed, degraded, time_)
            record = self._recorder.record(ask, routed, made)
            if not ticket.commit():
                self._meter.count("abandoned")
                return None
            self._recorder.append(ask, time_, record)
            made.slot.answered += 1
            if self._looks.due(slot):
                self._looks.look(ask, slot, time_, self._attempts.channel(slot.loaded, ask, time_, self._send_now))
        except RequestError as error:
            if error.status >= 500 and time.monotonic() >= ticket.deadline:
                self.give_up(self.lanes[ask.algorithm], ticket)
            self._meter.count("refused" if error.status < 500 else "failed")
            raise
        finally:
            _release(slot, made)
        if made.answer["degraded"]:
            self._meter.degraded(ask.algorithm, made.answer["degraded"])
        seconds = {**made.result.seconds, "total": perf_counter() - started}
        lacking = bool(made.answer["degraded"])
        self._meter.answered(ask.algorithm, made.slot.lineage, made.slot.publication, seconds, lacking)
        if route.state.shadow in route.slots and route.state.shadow != slot.lineage:
            self._cast_shadow(ask, route.slots[route.state.shadow or ""], routed, time_)
        return made.answer

    def _send(self, ask: Ask, callers: tuple[str, ...]) -> Call:
        """Ask for another algorithm's pre- or postprocessing, within what its request has left."""
        self._route(ask.algorithm)
        lane = self.lanes[ask.algorithm]
        seconds = left(time.monotonic(), MAX_SECONDS)

        def body(ticket: Ticket) -> dict[str, Any] | None:
            answer = self._called(ask, callers, ticket=ticket)
            return answer if ticket.commit() else None

        return _Waiting(self, lane, self._enter(lane, body, seconds))

    def _send_now(self, ask: Ask, callers: tuple[str, ...]) -> Call:
        """The same on the calling thread: a shadow takes no place in a lane from a request that somebody waits for."""
        return Answered(self._called(ask, callers, self._send_now))

    def _called(
        self, ask: Ask, callers: tuple[str, ...], send: Send | None = None, ticket: Ticket | None = None
    ) -> dict[str, Any]:
        """The answer for another algorithm: it is part of that one's record, and has none of its own."""
        route, routed, slot, degraded = self._choose(ask)
        if ticket is not None:
            ticket.version = slot.key
        made: decide.Made | None = None
        try:
            slot.loaded.checker.check(ask)
            made = self._attempts.compute(route, slot, ask, routed, degraded, ask.time or 0, callers, send)
            self._meter.count("called")
            return {**made.answer, "digest": made.slot.digest}
        finally:
            _release(slot, made)

    def _choose(self, ask: Ask) -> tuple[Route, decide.Routed, Slot, list[str]]:
        """The version that answers, leased. A version that drains in between is asked for again in the newer table."""
        for _ in range(8):
            route = self._route(ask.algorithm)
            default = route.default
            judge = default.loaded.eligible if default and default.state == "ready" else None
            routed = decide.route(route.state, ask, judge)
            degraded: list[str] = []
            slot = route.slots.get(routed.lineage or "")
            if slot is None:
                slot = default
                degraded = [f"lineage:{routed.lineage}"]
            if slot is not None and slot.lease():
                return route, routed, slot, degraded
        self._meter.count("failed")
        raise RequestError(f"no version of '{ask.algorithm}' is ready to answer; ask again", status=503)

    def _cast_shadow(self, ask: Ask, slot: Slot, routed: decide.Routed, time_: int) -> None:
        def body(_: Ticket) -> None:
            if not slot.lease():
                return
            try:
                parameters = dict(slot.loaded.parameters)
                made = self._attempts.answer(slot, ask, routed, parameters, [], time_, (), self._send_now)
                self.shadowed += self._recorder.append(ask, time_, self._recorder.record(ask, routed, made, True))
            finally:
                slot.release()

        try:
            self._shadow.submit(body, 5.0)
        except Full:
            self._meter.count("shadow_dropped")

    def _route(self, algorithm: str) -> Route:
        route = self.table.routes.get(algorithm)
        if route is not None:
            return route
        known = sorted(self.table.routes)
        if not known:
            raise RequestError("nothing is deployed yet; ask again", status=503)
        raise RequestError(f"unknown algorithm '{algorithm}'; deployed: {', '.join(known)}", "/algorithm", 404)


def _limit(route: Route, seconds: float | None) -> float:
    """Seconds that a request has: the caller's, else the deployment's."""
    return seconds if seconds is not None else route.state.lane.deadline_ms / 1000


def _release(slot: Slot, made: decide.Made | None) -> None:
    """End the lease of a version, and that of another which answered in its place."""
    slot.release()
    if made is not None and made.slot is not slot:
        made.slot.release()


class _Waiting:
    """A call that another lane works on."""

    def __init__(self, answerer: Answerer, lane: Lane, ticket: Ticket) -> None:
        self._answerer = answerer
        self._lane = lane
        self._ticket = ticket

    def result(self) -> dict[str, Any]:
        """Its answer, until the caller's deadline at most."""
        return self._answerer.wait(self._lane, self._ticket)
