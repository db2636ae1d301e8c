"""The meaning of rules as a backtracking program: no automaton, no shared state, one key at a time.

For rules without skip strategies, greedy steps and groups in groups, where no event fits both a ban and the step after
it and no ban stands right after a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Trail = tuple[int, ...]
"""Places of accepted events."""


def matches(rule: dict[str, Any], events: list[dict[str, Any]], end: int) -> list[list[str]]:
    """Ids of every match; `end` is the watermark at the end."""
    found = []
    for start in range(len(events)):
        for trail in chain(rule["pattern"], events, start, (), rule.get("within_ms"), end):
            if trail and trail[0] == start:
                found.append([events[place]["id"] for place in trail])
    return found


def chain(
    elements: list[dict[str, Any]], events: list[Any], at: int, trail: Trail, within: int | None, end: int
) -> Iterator[Trail]:
    """Trails of a chain of elements from place `at` on."""
    if not elements:
        if trail and in_time(trail, events, within):
            yield trail
        return
    element, rest = elements[0], elements[1:]
    after = element.get("after")
    if after == "not_next":
        last = trail[-1] + 1
        if last < len(events) and not fits(element["where"], events[last]):
            decided = in_time((*trail, last), events, within)  # by an event after the time is over nothing is
            for found in chain(rest, events, at, trail, within, end):
                if decided or len(found) > len(trail):
                    yield found
        return
    if after == "not_followed_by":
        yield from banned(element, rest, events, trail, within, end)
        return
    if element.get("optional") or least(element) == 0:
        yield from chain(rest, events, at, trail, within, end)
    for taken, again in repeated(element, events, at, trail, bool(trail)):
        if rest and rest[0].get("after") == "not_followed_by":  # as in Flink, it is also watched between repetitions
            between = events[taken[len(trail)] + 1 : taken[-1]]
            if any(fits(rest[0]["where"], event) for event in between):
                continue
        yield from chain(rest, events, taken[-1] + 1, taken, within, end)
        if again and "group" in element:
            for later in awaited(element, events, taken[-1] + 1):
                for found in chain(rest, events, later, taken, within, end):
                    if len(found) > len(taken):  # an event that is passed over ends no match
                        yield found


def awaited(group: dict[str, Any], events: list[Any], at: int) -> Iterator[int]:
    """Places after the events passed over while a group may repeat once more.

    In Flink what follows may begin at each of them, `next` too: the state that awaits the repetition's first step
    passes over events in place and goes on to what follows (`NFACompiler`, `createGroupPatternState`).
    """
    inner, where = group.get("inner") or "relaxed", group["group"][0].get("where")
    for place in range(at, len(events)):
        if inner == "strict" or (inner == "relaxed" and fits(where, events[place])):
            return
        yield place + 1


def banned(
    element: dict[str, Any], rest: list[Any], events: list[Any], trail: Trail, within: int | None, end: int
) -> Iterator[Trail]:
    """Trails in which no event fits a ban before the next accepted one, or before the time is over."""
    where, last = element["where"], trail[-1]
    if rest:
        for found in chain(rest, events, last + 1, trail, within, end):
            until = found[len(trail)] if len(found) > len(trail) else len(events)
            if len(found) == len(trail):
                if found == trail:
                    yield found
            elif not any(fits(where, event) for event in events[last + 1 : until]):
                yield found
        return
    assert within is not None
    over = events[trail[0]]["t"] + within
    later = [event for event in events[last + 1 :] if event["t"] < over]
    if end >= over and events[last]["t"] < over and not any(fits(where, event) for event in later):
        yield trail


def repeated(
    element: dict[str, Any], events: list[Any], at: int, trail: Trail, follows: bool
) -> Iterator[tuple[Trail, bool]]:
    """Trails after an element has repeated as often as it may, each with whether it may once more."""
    least_, most = max(least(element), 1), greatest(element)
    inner = {"strict": "next", "relaxed": "followed_by", "any": "followed_by_any"}[element.get("inner") or "relaxed"]
    layer = list(once(element, events, at, trail, element.get("after") if follows else "next", first=True))
    count = 1
    while layer:
        if count >= least_:
            yield from ((taken, most is None or count < most) for taken in layer)
        if most is not None and count >= most:
            return
        layer = [
            after for before in layer for after in once(element, events, before[-1] + 1, before, inner, first=False)
        ]
        count += 1


def once(
    element: dict[str, Any], events: list[Any], at: int, trail: Trail, after: str | None, *, first: bool
) -> Iterator[Trail]:
    """Trails after an element has been accepted once more."""
    until = element.get("until")
    if "group" in element:
        head = {**element["group"][0], "after": after}
        for found in chain([head, *element["group"][1:]], events, at, trail, None, 0):
            if len(found) > len(trail):
                yield found
        return
    for place in range(at, len(events)):
        stopped = until is not None and fits(until, events[place])
        fit = fits(element.get("where"), events[place])
        if fit and not stopped:
            yield (*trail, place)
        if after == "next" or after is None:
            return
        if after == "followed_by" and fit:
            return
        if stopped and not first:
            return


def in_time(trail: Trail, events: list[Any], within: int | None) -> bool:
    """Whether a trail keeps to the rule's time."""
    return within is None or events[trail[-1]]["t"] - events[trail[0]]["t"] < within


def least(element: dict[str, Any]) -> int:
    """Fewest repetitions."""
    times = element.get("times", 1)
    return int(times[0] if isinstance(times, list) else times)


def greatest(element: dict[str, Any]) -> int | None:
    """Most repetitions."""
    times = element.get("times", 1)
    return times[1] if isinstance(times, list) else times  # type: ignore[no-any-return]


def fits(where: Any, event: dict[str, Any]) -> bool:
    """Whether an event fits a condition."""
    if where is None:
        return True
    name, args = where[0], where[1:]
    if name == "and":
        return all(fits(arg, event) for arg in args)
    if name == "or":
        return any(fits(arg, event) for arg in args)
    if name == "not":
        return not fits(args[0], event)
    if name == "==":
        return bool(event[args[0]] == args[1])
    assert name == ">"
    return bool(event[args[0]] > args[1])
