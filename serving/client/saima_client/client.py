"""One `predict` call: a total time budget, retries and hedges inside it, one trace over all attempts."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

from saima_client import parts
from saima_client.clusters import DEFAULT, Clusters
from saima_client.errors import BudgetSpent, Refused
from saima_client.pace import Pace
from saima_client.retry import pause, retryable
from saima_client.transport import Embedded, Http, Reply, Transport, Unreachable

LEAST = 0.001
"""Seconds of budget below which an attempt is not started."""


class Client:
    """Asks the hosts of a map of clusters, one host at `url`, or a host in this process; for several threads.

    budget_s: seconds that one call may take, all attempts together. A refused, reset or broken connection, a full lane
    (429) and a failure of the host (5xx) are tried again; any other refusal (4xx) is raised at once. batch: most
    candidates of one request; more are asked for in parallel. hedge: ask a second time where an answer takes longer
    than the p95 seen. While nothing of a cluster answers, calls fail at once. key: the API key. arrow: send candidates
    as Arrow (pyarrow).
    """

    def __init__(
        self,
        target: str | Clusters | Any,
        budget_s: float = 1.0,
        connections: int = 100,
        batch: int | None = None,
        hedge: bool = True,
        key: str | None = None,
        arrow: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.budget_s = budget_s
        self._batch = batch
        self._hedge = hedge
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        urls = {DEFAULT: target} if isinstance(target, str) else target.urls if isinstance(target, Clusters) else None
        self._clusters = target if isinstance(target, Clusters) else Clusters(urls or {DEFAULT: ""})
        self._transports: dict[str, Transport] = (
            {DEFAULT: Embedded(target)}
            if urls is None
            else {name: Http(url, connections, key, arrow) for name, url in urls.items()}
        )
        self._paces = {name: Pace() for name in self._transports}
        # Two: a part waits for its attempts, which must not wait for a thread behind other parts.
        self._parts = ThreadPoolExecutor(connections, "saima-parts")
        self._attempts = ThreadPoolExecutor(2 * connections, "saima-attempts")

    def predict(
        self,
        algorithm: str,
        request: Mapping[str, Any],
        *,
        user: Mapping[str, Any] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
        unit: str | None = None,
        tokens: Sequence[Sequence[str]] | None = None,
        trace: str | None = None,
        time: int | None = None,
        budget_s: float | None = None,
    ) -> dict[str, Any]:
        """The host's answer: trace, version, lineage, arm, scores, degraded, and the `attempt` that got it.

        tokens: those of an earlier answer, to stay in its arms. time: ms UTC, only where the deployment lets a caller
        set it. Raises Refused and BudgetSpent.
        """
        body: dict[str, Any] = {"algorithm": algorithm, "trace": trace or uuid.uuid4().hex, "request": dict(request)}
        optional = {"user": user, "items": items, "unit": unit, "tokens": tokens, "time": time}
        body |= {name: value for name, value in optional.items() if value is not None}
        seconds = self.budget_s if budget_s is None else budget_s
        call = _Call(self, algorithm, body["trace"], seconds)
        if items is None or self._batch is None or len(items) <= self._batch:
            return call.run(body)
        return self._in_parts(call, body, items, self._batch)

    def close(self) -> None:
        """Close the connections; what still runs ends by its own budget."""
        for pool in (self._parts, self._attempts):
            pool.shutdown(wait=False, cancel_futures=True)
        for transport in self._transports.values():
            transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self.close()

    def _in_parts(
        self, call: _Call, body: dict[str, Any], items: Sequence[Mapping[str, Any]], most: int
    ) -> dict[str, Any]:
        """Ask for sub-batches at once; where a swap came between, those of the older version are asked for again.

        Each says which part it is of how many, so that outcomes find the prediction of their candidate.
        """
        divided = parts.split(items, most)
        bodies = [{**body, "items": each, "part": number, "parts": len(divided)} for number, each in enumerate(divided)]
        answers = _all([self._parts.submit(call.run, each) for each in bodies])
        while not parts.agree(answers):
            newest = max(answers, key=lambda answer: answer["epoch"])
            behind = [n for n, answer in enumerate(answers) if not parts.agree([newest, answer])]
            again = _all([self._parts.submit(call.run, bodies[n]) for n in behind])
            for n, answer in zip(behind, again, strict=True):
                answers[n] = answer
        return parts.merge(items, answers)


class _Call:
    """One call of `predict`: its budget, its trace, and the numbers of its attempts."""

    def __init__(self, client: Client, algorithm: str, trace: str, budget: float) -> None:
        cluster = client._clusters.of(algorithm)
        self._client = client
        self._transport = client._transports[cluster]
        self._pace = client._paces[cluster]
        self._trace = trace
        self._budget = budget
        self._until = client._clock() + budget
        self._numbers = itertools.count(1)

    def run(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one body, after as many attempts as the budget allows. Raises Refused and BudgetSpent."""
        client, tries, last = self._client, 0, "the budget is too small for one attempt"
        while (left := self._until - client._clock()) > LEAST:
            if self._pace.fails_fast(client._clock()):
                because = f"; the last: {last}" if tries else ""
                raise BudgetSpent(f"nothing of the cluster answers; not asked again for a moment{because}", self._trace)
            tries += 1
            try:
                reply, attempt = self._attempt(body, left)
            except Unreachable as error:
                last = str(error)
            else:
                if reply.status == 200:
                    return {**reply.document, "attempt": attempt}
                if not retryable(reply.status):
                    raise Refused(reply.status, reply.document, self._trace)
                last = f"{reply.status} {reply.document.get('detail', '')}".strip()
            wait_s = pause(tries, self._until - client._clock(), client._draw()).seconds
            if wait_s is None:
                break
            client._sleep(wait_s)
        raise BudgetSpent(f"no answer within {self._budget:g} s after {tries} attempts; the last: {last}", self._trace)

    def _attempt(self, body: dict[str, Any], left: float) -> tuple[Reply, int]:
        """One attempt, perhaps hedged; the first answer wins, a failure waits for the other."""
        after = self._pace.started() if self._client._hedge else None
        if after is None or after >= left - LEAST:
            return self._ask(body, next(self._numbers), left)
        running = {self._client._attempts.submit(self._ask, body, next(self._numbers), left)}
        done, _ = wait(running, after)
        if not done and self._pace.may_hedge():
            running.add(self._client._attempts.submit(self._ask, body, next(self._numbers), left - after))
        failed: Future[tuple[Reply, int]] | None = None
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                if one.exception() is None and one.result()[0].status == 200:
                    return one.result()
                failed = one
        assert failed is not None
        return failed.result()

    def _ask(self, body: dict[str, Any], number: int, seconds: float) -> tuple[Reply, int]:
        started = self._client._clock()
        try:
            reply = self._transport.ask({**body, "attempt": number}, seconds)
        except Unreachable:
            self._pace.unreachable(self._client._clock())
            raise
        if reply.status == 200:
            self._pace.answered(self._client._clock() - started)
        else:
            self._pace.there()
        return reply, number


def _all(futures: list[Future[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Results in order; the first failure is raised at once, and what has not begun is not begun."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for one in done:
            error = one.exception()
            if error is not None:
                for other in waiting:
                    other.cancel()
                raise error
    return [one.result() for one in futures]
