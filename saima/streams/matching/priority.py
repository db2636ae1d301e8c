"""The queue of partial matches: a binary heap whose ties fall as those of Java's `PriorityQueue`, which Flink CEP uses.

Which of two matches with the same first event comes first decides what a skip strategy prunes, so the order of ties is
part of the meaning.
"""

from __future__ import annotations

from collections.abc import Callable

from saima.streams.matching.runs import Run


def first_event(run: Run) -> int:
    """What runs are ordered by: the ordinal of their first event."""
    return run.start[3]


def offer(queue: list[Run], run: Run) -> None:
    """Add a run."""
    queue.append(run)
    place, order = len(queue) - 1, run.start[3]
    while place:
        above = (place - 1) >> 1
        if order >= queue[above].start[3]:
            break
        queue[place] = queue[above]
        place = above
    queue[place] = run


def poll(queue: list[Run]) -> Run:
    """Take the first run."""
    found = queue[0]
    last = queue.pop()
    if queue:
        _sift_down(queue, 0, last)
    return found


def prune(queue: list[Run], gone: Callable[[Run], bool]) -> list[Run]:
    """Take out the runs that a predicate names."""
    pruned = [run for run in queue if gone(run)]
    if pruned:
        queue[:] = [run for run in queue if not gone(run)]
        for place in range((len(queue) >> 1) - 1, -1, -1):
            _sift_down(queue, place, queue[place])
    return pruned


def _sift_down(queue: list[Run], place: int, run: Run) -> None:
    half, order = len(queue) >> 1, run.start[3]
    while place < half:
        child = 2 * place + 1
        right = child + 1
        if right < len(queue) and queue[child].start[3] > queue[right].start[3]:
            child = right
        if order <= queue[child].start[3]:
            break
        queue[place] = queue[child]
        place = child
    queue[place] = run
