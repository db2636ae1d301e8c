"""The client against a real server that misbehaves: retries inside the budget, one trace, no retry of a refusal."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saima_client import BudgetSpent, Client, Refused
from saima_client.pace import SEEN, SHARE, Pace
from saima_client.parts import merge, split
from saima_client.retry import LONGEST, pause

Reply = Callable[[int], tuple[int, dict[str, Any]] | None]
"""Status and document of the n-th request, from 1; None cuts the connection."""


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server; its address, and the bodies that it was sent."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({**body, "deadline": int(self.headers["x-deadline-ms"])})
            given = reply(len(seen))
            if given is None:
                self.close_connection = True
                return
            status, document = given
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


GOOD = (200, {"scores": [1.0]})


@pytest.mark.parametrize("first", [(429, {}), (500, {}), (503, {"detail": "ask again"}), (504, {}), None])
def test_a_failure_of_the_host_is_tried_again_under_the_same_trace(first: Any) -> None:
    with serving(lambda n: first if n < 3 else GOOD) as (url, seen), Client(url, budget_s=30) as client:
        answer = client.predict("a", {"x": 1}, time=5, unit="u")
    assert (answer["scores"], answer["attempt"]) == ([1.0], 3)
    assert len({body["trace"] for body in seen}) == 1
    assert [body["attempt"] for body in seen] == [1, 2, 3]
    assert (seen[0]["time"], seen[0]["unit"], seen[0]["request"]) == (5, "u", {"x": 1})
    assert "items" not in seen[0]


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
def test_a_refusal_is_raised_at_once(status: int) -> None:
    problem = {"status": status, "detail": "must be a number", "field": "/request/x"}
    refused = pytest.raises(Refused, match="/request/x: must be a number")
    with serving(lambda _: (status, problem)) as (url, seen), Client(url, budget_s=30) as client, refused as caught:
        client.predict("a", {"x": "y"}, trace="t")
    assert (caught.value.field, caught.value.trace, len(seen)) == ("/request/x", "t", 1)


def test_the_budget_bounds_all_attempts_together() -> None:
    clock = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    with serving(lambda _: (503, {"detail": "not yet"})) as (url, seen):
        client = Client(url, budget_s=3.0, clock=lambda: clock[0], sleep=sleep, draw=lambda: 0.9)
        with client, pytest.raises(BudgetSpent, match="not yet") as caught:
            client.predict("a", {}, trace="t")
    assert clock[0] <= 3.0
    assert len(seen) == len(slept) + 1 > 5
    assert [body["deadline"] for body in seen] == sorted((body["deadline"] for body in seen), reverse=True)
    assert caught.value.trace == "t"


def test_nobody_listens() -> None:
    with Client("http://127.0.0.1:9", budget_s=0.2) as client, pytest.raises(BudgetSpent, match="Connect"):
        client.predict("a", {})


@given(st.integers(1, 60), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_pause_fits_the_budget(attempt: int, left: float, draw: float) -> None:
    found = pause(attempt, left, draw).seconds
    assert found is None or 0 <= found < left
    assert found is None or found <= LONGEST


def test_a_late_answer_is_hedged_and_the_first_wins() -> None:
    """The last request is answered only once another of its trace has come: without a hedge it would never be."""
    last, second = threading.Event(), threading.Event()
    lock, come = threading.Lock(), [0]

    def reply(_: int) -> tuple[int, dict[str, Any]]:
        if not last.is_set():  # on a busy machine one of these is late and hedged, too
            return GOOD
        with lock:
            come[0] += 1
            first = come[0] == 1
        if first:
            assert second.wait(20)
            return GOOD
        second.set()
        return 200, {"scores": [62.0]}

    with serving(reply) as (url, seen), Client(url, budget_s=30) as client:
        for _ in range(60):
            client.predict("a", {}, trace="before")
        last.set()
        answer = client.predict("a", {}, trace="hedged")
    hedged = [body["attempt"] for body in seen if body["trace"] == "hedged"]
    assert hedged == [1, 2]
    assert answer["attempt"] in hedged


def test_hedges_stay_within_their_share() -> None:
    pace = Pace()
    for _ in range(SEEN):
        pace.answered(0.01)
    hedges = 0
    for _ in range(1000):
        assert pace.started() == 0.01
        hedges += pace.may_hedge()
    assert hedges <= 1000 * SHARE + 1


def test_a_cluster_of_which_nothing_answers_fails_fast_and_comes_back() -> None:
    clock = [0.0]
    with serving(lambda _: None if clock[0] < 50 else GOOD) as (url, seen):
        client = Client(url, budget_s=10.0, clock=lambda: clock[0], sleep=lambda _: None, draw=lambda: 0.0)
        with client:
            with pytest.raises(BudgetSpent, match="nothing of the cluster answers"):
                client.predict("a", {})
            asked = len(seen)
            with pytest.raises(BudgetSpent, match="nothing of the cluster answers"):
                client.predict("a", {})
            assert len(seen) == asked == 5
            clock[0] = 60
            assert client.predict("a", {})["attempt"] == 1


def test_a_refused_part_refuses_the_call() -> None:
    def reply(number: int) -> tuple[int, dict[str, Any]]:
        return 422, {"detail": "no"}

    items = [{"item_id": str(n)} for n in range(10)]
    with serving(reply) as (url, _), Client(url, budget_s=30, batch=2) as client, pytest.raises(Refused, match="no"):
        client.predict("a", {}, items=items)


SCORES = st.one_of(st.none(), st.floats(-2, 2), st.integers(-1, 1).map(float))


@given(st.lists(SCORES, min_size=1, max_size=40), st.integers(1, 50), st.one_of(st.none(), st.integers(1, 20)))
def test_merged_parts_are_the_answer_to_the_whole(scores: list[float | None], most: int, top_k: int | None) -> None:
    """Against what a host does with the whole: all in given order, or the best k, ties in given order."""
    items = [{"item_id": str(n)} for n in range(len(scores))]

    def answer(part: Any, attempt: int) -> dict[str, Any]:
        own = [(item["item_id"], scores[int(item["item_id"])]) for item in part]
        if top_k is not None:
            own.sort(key=lambda pair: -float("-inf") if pair[1] is None else -pair[1])
            own = own[:top_k]
        made = {"version": 1, "lineage": "l", "arm": "", "epoch": 1, "degraded": [], "attempt": attempt}
        made |= {"items": [item for item, _ in own], "scores": [score for _, score in own]}
        return made if top_k is None else {**made, "top_k": top_k}

    parts = split(items, most)
    assert [item for part in parts for item in part] == items
    assert all(len(part) <= most for part in parts)
    merged = merge(items, [answer(part, number) for number, part in enumerate(parts, 1)])
    whole = answer(items, 1)
    assert (merged["items"], merged["scores"]) == (whole["items"], whole["scores"])
