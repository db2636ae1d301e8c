"""Lanes: bounded, on time, and an expired request is never run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from saima.host.lane import Full, Lane, Ticket


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane("toy", 1, 3)
    yield made
    made.close()


def blocker(lane: Lane) -> Callable[[], None]:
    """Occupy the lane's thread until the returned function is called."""
    running, free = threading.Event(), threading.Event()

    def body(_: Ticket) -> None:
        running.set()
        free.wait(10)

    lane.submit(body, 10)
    assert running.wait(10)
    return free.set


def test_a_body_gives_its_result(lane: Lane) -> None:
    assert lane.submit(lambda ticket: ticket.commit(), 5).future.result(5) is True


def test_what_a_body_raises_reaches_the_caller_and_the_thread_lives_on(lane: Lane) -> None:
    with pytest.raises(ZeroDivisionError):
        lane.submit(lambda _: 1 / 0, 5).future.result(5)
    assert lane.submit(lambda _: 3, 5).future.result(5) == 3


def test_a_full_queue_rejects_at_once(lane: Lane) -> None:
    free = blocker(lane)
    waiting = [lane.submit(lambda _: 1, 10) for _ in range(3)]
    with pytest.raises(Full) as caught:
        lane.submit(lambda _: 1, 10)
    assert caught.value.status == 429
    assert lane.rejected == 1
    free()
    assert [ticket.future.result(5) for ticket in waiting] == [1, 1, 1]


def test_an_expired_request_is_never_run(lane: Lane) -> None:
    free = blocker(lane)
    ran: list[str] = []
    given_up = lane.submit(lambda _: ran.append("given up"), 10)
    late = lane.submit(lambda _: ran.append("late"), 0.001)
    assert lane.give_up(given_up)
    while time.monotonic() < late.deadline:
        threading.Event().wait(0.001)
    free()
    assert lane.submit(lambda _: "last", 5).future.result(5) == "last"
    assert ran == []


def test_a_running_request_that_nobody_waits_for_may_not_commit(lane: Lane) -> None:
    began, go = threading.Event(), threading.Event()

    def body(ticket: Ticket) -> bool:
        began.set()
        go.wait(10)
        return ticket.commit()

    ticket = lane.submit(body, 10)
    assert began.wait(10)
    assert lane.give_up(ticket)
    assert not lane.give_up(ticket), "it has expired before, and is counted once"
    go.set()
    assert ticket.future.result(5) is False


def test_a_committed_request_cannot_expire(lane: Lane) -> None:
    ticket = lane.submit(lambda ticket: ticket.commit(), 10)
    assert ticket.future.result(5)
    assert not lane.give_up(ticket)


def test_exactly_one_of_answer_and_expiry_wins() -> None:
    lane = Lane("toy", 4, 1000)
    committed: list[bool] = []
    expired = 0
    tickets = [lane.submit(lambda ticket: committed.append(ticket.commit()), 10) for _ in range(500)]
    for ticket in tickets:
        expired += lane.give_up(ticket)
    lane.close()
    assert committed.count(True) + expired == 500


def test_resizing_adds_and_ends_threads() -> None:
    lane = Lane("toy", 1, 10)
    lane.resize(3, 10)
    barrier = threading.Barrier(4, timeout=10)
    tickets = [lane.submit(lambda _: barrier.wait(), 10) for _ in range(3)]
    barrier.wait()
    for ticket in tickets:
        ticket.future.result(5)
    lane.resize(1, 10)
    assert lane.submit(lambda _: 1, 5).future.result(5) == 1
    lane.close()
