"""One `predict` call: a total time budget, retries with jitter inside it, one trace over all attempts."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from saima_client.errors import BudgetSpent, Refused
from saima_client.retry import pause, retryable

LEAST = 0.001
"""Seconds of budget below which an attempt is not started."""


class Client:
    """Asks a host at `url`; may be used by several threads.

    budget_s: seconds that one call may take, all attempts together. A refused, reset or broken connection, a full lane
    (429) and a failure of the host (5xx) are tried again; any other refusal (4xx) is raised at once.
    """

    def __init__(
        self,
        url: str,
        budget_s: float = 1.0,
        connections: int = 100,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.budget_s = budget_s
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.Client(base_url=url, limits=limits, trust_env=False)

    def predict(
        self,
        algorithm: str,
        request: Mapping[str, Any],
        *,
        user: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
        unit: str | None = None,
        trace: str | None = None,
        time: int | None = None,
        budget_s: float | None = None,
    ) -> dict[str, Any]:
        """The host's answer: trace, version, lineage, arm, scores, degraded, and the `attempt` that got it.

        time: ms UTC, only where the deployment lets a caller set it. Raises Refused and BudgetSpent.
        """
        body: dict[str, Any] = {"algorithm": algorithm, "trace": trace or uuid.uuid4().hex, "request": dict(request)}
        optional = {"user": user, "items": items, "unit": unit, "time": time}
        body |= {name: value for name, value in optional.items() if value is not None}
        return self._attempts(body, self.budget_s if budget_s is None else budget_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self.close()

    def _attempts(self, body: dict[str, Any], budget: float) -> dict[str, Any]:
        until, attempt, last = self._clock() + budget, 0, "the budget is too small for one attempt"
        trace = body["trace"]
        while (left := until - self._clock()) > LEAST:
            attempt += 1
            try:
                answer = self._ask({**body, "attempt": attempt}, left)
            except httpx.TransportError as error:
                last = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code == 200:
                    found: dict[str, Any] = {**answer.json(), "attempt": attempt}
                    return found
                problem = _problem(answer)
                if not retryable(answer.status_code):
                    raise Refused(answer.status_code, problem, trace)
                last = f"{answer.status_code} {problem.get('detail', '')}".strip()
            wait = pause(attempt, until - self._clock(), self._draw()).seconds
            if wait is None:
                break
            self._sleep(wait)
        raise BudgetSpent(f"no answer within {budget:g} s after {attempt} attempts; the last: {last}", trace)

    def _ask(self, body: dict[str, Any], left: float) -> httpx.Response:
        headers = {"content-type": "application/json", "x-deadline-ms": str(max(1, int(left * 1000)))}
        return self._http.post("/v1/predict", content=json.dumps(body), headers=headers, timeout=left)


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return document if isinstance(document, dict) else {"detail": str(document)[:200]}
