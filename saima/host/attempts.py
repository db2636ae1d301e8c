"""An attempt at an answer: the leased version behind its circuit breaker, else the deployment's fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from saima.errors import RequestError, SaimaError
from saima.host import decide
from saima.host.breaker import Breakers
from saima.host.channel import LiveChannel, Send
from saima.host.lease import Loaded, Slot
from saima.host.meter import Meter
from saima.host.request import Ask
from saima.host.rule import scores_of
from saima.host.table import Route

LOG = logging.getLogger("saima.host")


class Attempts:
    """Computes with leased versions; any number of threads.

    epoch: the one that answers name. send: how an algorithm's own code asks another algorithm.
    """

    def __init__(self, meter: Meter, epoch: Callable[[], int], send: Send) -> None:
        self.breakers = Breakers()
        self._meter = meter
        self._epoch = epoch
        self._send = send

    def compute(
        self,
        route: Route,
        slot: Slot,
        ask: Ask,
        routed: decide.Routed,
        degraded: list[str],
        time_: int,
        callers: tuple[str, ...] = (),
        send: Send | None = None,
    ) -> decide.Made:
        """What a leased version answers, or its fallback, which is then leased, too, and is not postprocessed."""
        parameters = {**slot.loaded.parameters, **routed.parameters}
        why = "its circuit breaker is open"
        if self.breakers.ask(ask.algorithm):
            try:
                made = self.answer(slot, ask, routed, parameters, degraded, time_, callers, send or self._send)
            except Exception as error:
                self.breakers.fail(ask.algorithm)
                self._meter.erred(*slot.key)
                LOG.exception("%s cannot answer %s", slot, ask.trace)
                why = f"{type(error).__name__}: {error}"
            else:
                self.breakers.succeed(ask.algorithm)
                return made
        other, result = self._fall_back(route, slot, ask, time_, why)
        result.degraded.extend(degraded)
        parameters = parameters if other is slot else other.loaded.parameters
        answer = decide.answer_of(ask, other, self._epoch(), routed, parameters, result, time_)
        return decide.Made(other, result, answer, [])

    def answer(
        self,
        slot: Slot,
        ask: Ask,
        routed: decide.Routed,
        parameters: dict[str, Any],
        degraded: list[str],
        time_: int,
        callers: tuple[str, ...],
        send: Send,
    ) -> decide.Made:
        """What a leased version answers, its own first and last steps included."""
        loaded = slot.loaded
        channel = self.channel(loaded, ask, time_, send, callers)
        result = decide.compute(loaded, ask, parameters, time_, channel)
        result.degraded.extend(degraded)
        answer = decide.answer_of(ask, slot, self._epoch(), routed, parameters, result, time_)
        return decide.Made(slot, result, decide.finish(loaded, ask, answer, channel), channel.entries)

    def channel(self, loaded: Loaded, ask: Ask, time_: int, send: Send, callers: tuple[str, ...] = ()) -> LiveChannel:
        return LiveChannel(loaded.bundle.algorithm.declaration, ask, time_, loaded.tables, send, callers)

    def _fall_back(self, route: Route, slot: Slot, ask: Ask, time_: int, why: str) -> tuple[Slot, decide.Result]:
        fallback = route.state.fallback
        other = route.slots.get(fallback.lineage or "")
        if other is not None and other is not slot and other.lease():
            try:
                other.loaded.checker.check(ask)
                channel = self.channel(other.loaded, ask, time_, self._send)
                result = decide.compute(other.loaded, ask, other.loaded.parameters, time_, channel)
            except Exception as error:
                other.release()
                self._meter.erred(*other.key)
                LOG.exception("the fallback %s cannot answer %s either", other, ask.trace)
                why = f"{why}; nor can {other}: {type(error).__name__}: {error}"
            else:
                result.degraded.append(f"fallback:{other.lineage}")
                return other, result
        if fallback.rule is not None:
            try:
                declared = slot.loaded.bundle.algorithm.declaration.request
                return slot, decide.fallback(scores_of(fallback.rule, declared, ask), "rule")
            except (SaimaError, ArithmeticError, ValueError, TypeError) as error:
                why = f"{why}; nor can the fallback's rule: {error}"
        if fallback.constant is not None:
            count = len(ask.items) if ask.items else 1
            return slot, decide.fallback(np.full(count, fallback.constant), "constant")
        raise RequestError(f"{slot} cannot answer: {why}", status=500)
