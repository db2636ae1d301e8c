"""Automata as tables: state -> event type -> the transitions that are left, with compiled guards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saima.streams.matching import guards
from saima.streams.matching.closures import Shared, Test
from saima.streams.matching.grammar import Rule
from saima.streams.matching.guards import ALWAYS, NEVER, Guard, either, every, specialised
from saima.streams.matching.nodes import OTHER
from saima.streams.matching.runs import FOREVER
from saima.streams.matching.states import Edge, State

TAKE, IGNORE, STOP, END, PASS_END = range(5)
"""Transitions: accept the event, pass over it, end the run by a ban, accept it as the last, end without it."""

STAY, MOVE, FINISH, FORK, CHOOSE, GENERAL, DIE = range(7)
"""Shapes of a state's transitions for an event type.

STAY: nothing happens. MOVE: the event is accepted, always. FINISH: it is accepted as the last, always.
FORK: it is accepted and the run waits on as well. CHOOSE: accepted if the guard holds, else nothing happens.
DIE: the run ends. GENERAL: anything else.
"""


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition; a `guard` of None always holds. ends: a match may end in the target, if `ends_if` holds."""

    kind: int
    guard: Test | None
    target: StateTable | None
    step: str
    ends: bool
    ends_if: Test | None


@dataclass(slots=True, eq=False)
class Moves:
    """Transitions of a state for one event type, and their shape.

    follow, follow_type: where MOVE and its like lead to a light state, the moves from there and the type it awaits.
    straight: `follow`, where the shape is MOVE. place: index of the state that they leave.
    """

    shape: int
    guard: Test | None
    target: StateTable | None
    step: str
    ends: bool
    transitions: tuple[Transition, ...]
    rule: Any = None
    within: int = 0
    follow: Moves | None = None
    follow_type: str = ""
    straight: Moves | None = None
    place: int = 0


class StateTable:
    """A state at run time.

    moves: by event type; `other` for the rest. awaits: event types that touch a run here, None if every event does.
    index: number within the rule; looping: a loop's length is bounded here. light: a run here awaits one type, only
    that event or the rule's own time ends it, and nobody asks how: it is kept as a plain tuple.
    """

    __slots__ = (
        "awaits", "expires", "gap", "index", "light", "looping", "moves", "name", "other", "pending", "rule", "step",
    )  # fmt: skip

    def __init__(self, rule: Any, state: State, index: int) -> None:
        self.rule = rule
        self.name = state.name
        self.step = state.step
        self.index = index
        self.pending = state.kind == "pending"
        self.gap = state.gap
        self.expires = state.gap is not None and not any(
            edge.action == "proceed" and edge.target.kind != "stop" for edge in state.edges
        )
        self.looping = any(edge.action == "take" and edge.target is state for edge in state.edges)
        self.moves: dict[str, Moves] = {}
        self.other = _STAY
        self.awaits: tuple[str, ...] | None = ()
        self.light = False

    def awaited(self) -> Moves:
        """Moves of a light state for the type that it awaits."""
        assert self.awaits is not None
        return self.moves[self.awaits[0]]

    def __repr__(self) -> str:
        return f"StateTable({self.name})"


_STAY = Moves(STAY, None, None, "", False, ())


def tabulate(compiled: Any, rule: Rule, states: list[State], types: set[str], shared: Shared) -> list[StateTable]:
    """Tables of the states of a rule, in their order; `compiled` is the rule that they will belong to."""
    on = rule.on
    waiting = [state for state in states if state.kind in ("normal", "pending")]
    tables = {state: StateTable(compiled, state, index) for index, state in enumerate(waiting)}
    for state, table in tables.items():
        seen = types if on is None else types & set(on)
        moves = {name: _moves(state, name, tables, shared) for name in sorted(seen)}
        other = _moves(state, OTHER, tables, shared)
        if on is not None:
            moves |= {name: other for name in on if name not in moves}
            other = _STAY
        table.moves, table.other = moves, other
        if other.shape == STAY:
            table.awaits = tuple(name for name, found in moves.items() if found.shape != STAY)
        else:
            table.awaits = None
        table.light = _light(table, rule)
    for table in tables.values():
        for found in (*table.moves.values(), table.other):
            if found is _STAY:
                continue
            found.rule, found.place, found.within = compiled, table.index, rule.within_ms or FOREVER
            if found.target is not None and found.target.light:
                found.follow = found.target.awaited()
                found.follow_type = (found.target.awaits or ("",))[0]
                found.straight = found.follow if found.shape == MOVE else None
    return list(tables.values())


def _light(table: StateTable, rule: Rule) -> bool:
    if rule.skip.to != "none" or rule.emit.timeouts or table.pending or table.gap is not None:
        return False
    if table.awaits is None or len(table.awaits) != 1:
        return False
    return table.awaited().shape in (MOVE, FINISH, FORK, CHOOSE)


def _moves(state: State, event_type: Any, tables: dict[State, StateTable], shared: Shared) -> Moves:
    found = [
        _transition(edge, guard, ending, tables, shared)
        for edge, guard, ending in _reachable(state, event_type)
        if not (state.start and edge.action == "ignore")
    ]
    transitions = tuple(one for one in found if one is not None)
    return _shaped(tables.get(state), transitions, state, event_type)


def _reachable(state: State, event_type: Any) -> Iterator[tuple[Edge, Guard, Guard]]:
    """TAKE and IGNORE edges in reach through PROCEED, each with its whole guard and that of an end after it."""
    stack = [(state, ALWAYS)]
    while stack:
        current, so_far = stack.pop()
        for edge in current.edges:
            guard = every(so_far, specialised(edge.guard, event_type))
            if guard is NEVER:
                continue
            if edge.action == "proceed":
                stack.append((edge.target, guard))
            else:
                yield edge, guard, _end_after(edge.target, event_type) if edge.action == "take" else NEVER


def _end_after(state: State, event_type: Any) -> Guard:
    """Guard of the final state being in reach of a state through PROCEED."""
    found: list[Guard] = []
    stack = [(state, ALWAYS)]
    while stack:
        current, so_far = stack.pop()
        for edge in current.edges:
            guard = every(so_far, specialised(edge.guard, event_type))
            if edge.action != "proceed" or guard is NEVER:
                continue
            if edge.target.kind == "final":
                found.append(guard)
            else:
                stack.append((edge.target, guard))
    return either(*found)


def _transition(
    edge: Edge, guard: Guard, ending: Guard, tables: dict[State, StateTable], shared: Shared
) -> Transition | None:
    test = guards.compiled(guard, shared)
    step = edge.source.step
    target = edge.target
    if target.kind == "stop":
        return Transition(STOP, test, None, step, False, None)
    if target.kind == "final":
        kind = END if edge.action == "take" else PASS_END
        return Transition(kind, test, None, step, True, None)
    if edge.action == "ignore":
        return Transition(IGNORE, test, tables[target], step, False, None)
    ends = ending is not NEVER
    ends_if = guards.compiled(ending, shared) if ends else None
    return Transition(TAKE, test, tables[target], step, ends, ends_if)


def _shaped(own: StateTable | None, transitions: tuple[Transition, ...], state: State, event_type: Any) -> Moves:
    """The transitions with the shape that they have."""
    if not transitions:
        return Moves(STAY if state.start else DIE, None, None, "", False, ())
    first = transitions[0]
    plain = first.kind == TAKE and not first.ends and first.target is not None and not first.target.looping
    if len(transitions) == 1:
        if first.kind == IGNORE and first.target is own and first.guard is None:
            return _STAY
        if plain and first.guard is None:
            return Moves(MOVE, None, first.target, first.step, False, transitions)
        if first.kind == END and first.guard is None:
            return Moves(FINISH, None, None, first.step, True, transitions)
        if state.start and (plain or first.kind == END):
            return Moves(CHOOSE, first.guard, first.target, first.step, first.kind == END, transitions)
    if len(transitions) == 2:
        second = transitions[1]
        waits = second.kind == IGNORE and second.target is own
        if waits and second.guard is None and first.guard is None and (plain or first.kind == END):
            return Moves(FORK, None, first.target, first.step, first.kind == END, transitions)
        if waits and (plain or first.kind == END) and _opposite(state, event_type):
            return Moves(CHOOSE, first.guard, first.target, first.step, first.kind == END, transitions)
    return Moves(GENERAL, None, None, "", False, transitions)


def _opposite(state: State, event_type: Any) -> bool:
    """Whether a state's two transitions exclude each other and one always holds."""
    edges = [guard for _, guard, _ in _reachable(state, event_type)]
    return len(edges) == 2 and guards.negate(edges[0]).key == edges[1].key
