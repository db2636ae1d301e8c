"""A chain of steps as a nondeterministic automaton, with the states and edges of Flink CEP.

Built from the last step to the first. TAKE accepts the event, IGNORE passes over it, PROCEED goes on with the same
event in another state; a stop state ends the partial match (a ban was hit), a pending one waits for its time (a ban
at the end), a final one is a match. Source of the meaning: Apache Flink, `NFACompiler` (flink-cep).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from saima.streams.matching import guards, nodes
from saima.streams.matching.chain import Contiguity, Link
from saima.streams.matching.guards import ALWAYS, Guard, every, holds, negate

Action = Literal["take", "ignore", "proceed"]
Kind = Literal["normal", "final", "stop", "pending"]


@dataclass
class Edge:
    """A transition; greedy steps tighten guards of edges that stand already."""

    action: Action
    source: State
    target: State
    guard: Guard


@dataclass(eq=False)
class State:
    """A state; `step` is the step whose events it takes, `gap` the time since the previous one that ends it."""

    name: str
    step: str
    kind: Kind
    gap: int | None = None
    start: bool = False
    edges: list[Edge] = field(default_factory=list)

    def add(self, action: Action, target: State, guard: Guard) -> None:
        """Add an edge; one that never holds is none."""
        if guard is not guards.NEVER:
            self.edges.append(Edge(action, self, target, guard))


def build(last: Link, within: int | None) -> list[State]:
    """States of a rule's chain; the start state is the last of them that is marked so."""
    return _Builder(last, within).build()


class _Builder:
    def __init__(self, last: Link, within: int | None) -> None:
        self.current = last
        self.within = within
        self.following: Link | None = None
        self.enclosing: Link | None = None
        self.first_of_loop: dict[Link, bool] = {}
        self.states: list[State] = []
        self.stops: dict[str, State] = {}
        self.originals: dict[State, State] = {}
        self.names: dict[str, int] = {}

    def build(self) -> list[State]:
        sink = self.middle(self.state("$end", "final"))
        self.convert(sink).start = True
        return self.states

    def state(self, name: str, kind: Kind, gap: int | None = None) -> State:
        step = name.partition(":")[0]
        number = self.names.get(step, 0)
        self.names[step] = number + 1
        made = State(f"{step}:{number}" if number else step, step, kind, gap)
        self.states.append(made)
        return made

    def normal(self) -> State:
        return self.state(self.current.name, "normal", self.current.gap)

    def middle(self, sink: State) -> State:
        """States of every link but the first of the current chain."""
        while self.current.previous is not None:
            if self.current.contiguity == "not_followed_by":
                sink = self.pending(sink)
            elif self.current.contiguity == "not_next":
                sink = self.not_next(sink)
            else:
                sink = self.convert(sink)
            self.following = self.current
            self.current = self.current.previous
        return sink

    def pending(self, sink: State) -> State:
        """A ban at the end waits for its time; elsewhere it becomes edges of the states before it."""
        if sink.kind != "final" or (self.within is None and self.current.gap is None):
            return sink
        made = self.state(self.current.name, "pending", self.current.gap)
        ban = self.taken(self.current)
        made.add("proceed", self.stop(ban, self.current.name), ban)
        made.add("ignore", made, negate(ban))
        return made

    def not_next(self, sink: State) -> State:
        made = self.normal()
        ban = self.taken(self.current)
        made.add("ignore" if sink.kind == "final" else "proceed", sink, negate(ban))
        made.add("proceed", self.stop(ban, self.current.name), ban)
        return made

    def convert(self, sink: State) -> State:
        """States of the current link before `sink`."""
        link = self.current
        if link.most is None:
            self.mark(False)
            looping = self.looping(self.without_bans(sink))
            self.mark(True)
            made = self.times(looping, sink, link.least, link.least)
        elif link.repeats:
            made = self.times(sink, sink, link.least, link.most)
        else:
            made = self.singleton(sink, sink, self.taken(link), self.ignored(link), link.optional)
        self.add_stops(made)
        return made

    def times(self, sink: State, proceed: State, least: int, most: int) -> State:
        """Copies of the current link for a number of repetitions."""
        link = self.current
        self.mark(False)
        inner_ignore = _until(self.ignored_inside(link), link.until)
        take = _until(self.taken(link), link.until)
        assert take is not None
        if link.greedy and least != most:
            if link.until is not None:
                self.originals[sink] = self.copy(sink)
            _tighten(sink, take)
        for _ in range(least, most):
            sink = self.singleton(sink, proceed, take, inner_ignore, True)
            self.add_stop_of_following(sink)
        for _ in range(least - 1):
            sink = self.singleton(sink, None, take, inner_ignore, False)
            self.add_stop_of_following(sink)
        self.mark(True)
        return self.singleton(sink, proceed, take, self.ignored(link), link.optional)

    def singleton(self, sink: State, proceed: State | None, take: Guard, ignore: Guard | None, optional: bool) -> State:
        """A state that takes one event; an optional one has a twin without PROCEED, so that it branches once."""
        link = self.current
        if link.group is not None:
            return self.group(sink, proceed, optional)
        made = self.normal()
        target = self.without_bans(sink)
        made.add("take", target, self.in_time(take))
        if optional:
            assert proceed is not None
            if link.greedy and link.until is not None and proceed in self.originals:
                made.add("proceed", self.originals[proceed], every(self.truth(), holds(link.until)))
                made.add("proceed", proceed, every(self.truth(), negate(holds(link.until))))
            else:
                made.add("proceed", proceed, self.truth())
        if ignore is not None:
            passing = made
            if optional or self.heads_optional_group(link):
                passing = self.normal()
                passing.add("take", target, self.in_time(take))
                passing.add("ignore", passing, ignore)
                self.add_stops(passing)
            made.add("ignore", passing, ignore)
        return made

    def group(self, sink: State, proceed: State | None, optional: bool) -> State:
        truth = self.truth()
        made = self.inside(sink)
        if optional:
            assert proceed is not None
            made.add("proceed", proceed, truth)
        return made

    def inside(self, sink: State) -> State:
        """States of the current group's own chain."""
        kept = self.current, self.following, self.enclosing
        group = self.current
        assert group.group is not None
        self.enclosing, self.current = group, group.group
        made = self.convert(self.middle(sink))
        self.current, self.following, self.enclosing = kept
        return made

    def looping(self, sink: State) -> State:
        """A state that takes any number of events."""
        link = self.current
        truth = self.truth()
        if link.group is not None:
            turn = self.normal()
            made = self.inside(turn)
            made.add("proceed", sink, truth)
            turn.add("proceed", made, truth)
            return made
        ignore = _until(self.ignored_inside(link), link.until)
        take = _until(self.taken(link), link.until)
        assert take is not None
        loop = self.normal()
        if link.greedy:
            if link.until is not None:
                copy = self.copy(sink)
                loop.add("proceed", copy, every(truth, holds(link.until)))
                self.originals[sink] = copy
            loop.add("proceed", sink, truth if link.until is None else every(truth, negate(holds(link.until))))
            _tighten(sink, self.taken(link))
        else:
            loop.add("proceed", sink, truth)
        loop.add("take", loop, self.in_time(take))
        self.add_stop_of_following(loop)
        if ignore is not None:
            passing = self.normal()
            passing.add("take", loop, self.in_time(take))
            passing.add("ignore", passing, ignore)
            loop.add("ignore", passing, ignore)
            self.add_stop_of_following(passing)
        return loop

    def stop(self, ban: Guard, name: str) -> State:
        if name not in self.stops:
            self.stops[name] = self.state(name, "stop")
            self.stops[name].add("take", self.stops[name], ban)
        return self.stops[name]

    def bans(self) -> list[tuple[Guard, str]]:
        """Bans in force before the current link: just before it, or before optional links just before it."""
        found = []
        link = self.current
        while (before := link.previous) is not None and (before.optional or before.contiguity == "not_followed_by"):
            link = before
            if link.contiguity == "not_followed_by":
                found.append((self.taken(link), link.name))
        return found

    def add_stops(self, state: State) -> None:
        for ban, name in self.bans():
            state.add("proceed", self.stop(ban, name), ban)

    def add_stop_of_following(self, state: State) -> None:
        if self.following is not None and self.following.contiguity == "not_followed_by":
            ban = self.taken(self.following)
            state.add("proceed", self.stop(ban, self.following.name), ban)

    def without_bans(self, sink: State) -> State:
        """Once an optional link has accepted an event, the bans before it hold no more: a copy of what follows."""
        found = self.bans()
        if not found or not self.current.optional:
            return sink
        copy = self.state(sink.step, sink.kind, sink.gap)
        names = {name for _, name in found}
        for edge in sink.edges:
            if edge.action != "proceed":
                copy.add(edge.action, copy if edge.target is edge.source else edge.target, edge.guard)
            elif edge.target.kind != "stop":
                copy.add("proceed", self.without_bans(edge.target), edge.guard)
            elif edge.target.name not in names:
                copy.add("proceed", edge.target, edge.guard)
        return copy

    def copy(self, state: State) -> State:
        made = self.state(state.step, state.kind, state.gap)
        for edge in state.edges:
            made.add(edge.action, made if edge.target is edge.source else edge.target, edge.guard)
        return made

    def mark(self, first: bool) -> None:
        if self.current.group is not None:
            self.first_of_loop[self.current] = first

    def heads_group(self, link: Link) -> bool:
        return self.enclosing is not None and link.previous is None

    def heads_optional_group(self, link: Link) -> bool:
        group = self.enclosing
        if group is None or not self.heads_group(link):
            return False
        return self.first_of_loop.get(group, True) and group.optional

    def truth(self) -> Guard:
        until = self.enclosing.until if self.enclosing is not None else None
        return ALWAYS if until is None else negate(holds(until))

    def taken(self, link: Link) -> Guard:
        return every(self.truth(), holds(link.condition))

    def in_time(self, take: Guard) -> Guard:
        gap = self.current.gap
        return take if gap is None else every(take, holds(nodes.apply("<", nodes.ELAPSED, nodes.constant(gap))))

    def ignored(self, link: Link) -> Guard | None:
        contiguity = link.contiguity
        if self.enclosing is not None and self.heads_group(link):
            first = self.first_of_loop.get(self.enclosing, True)
            contiguity = self.enclosing.contiguity if first else self.enclosing.inner
        return self.passed_over(link, contiguity)

    def ignored_inside(self, link: Link) -> Guard | None:
        inner = self.enclosing.inner if self.enclosing is not None and self.heads_group(link) else link.inner
        return self.passed_over(link, inner)

    def passed_over(self, link: Link, contiguity: Contiguity) -> Guard | None:
        """Guard of an IGNORE edge; None where no event may be passed over."""
        if contiguity == "strict":
            return None
        passed = ALWAYS if contiguity == "any" else negate(holds(link.condition))
        return every(passed, self.truth())


def _until(guard: Guard | None, until: nodes.Node | None) -> Guard | None:
    if guard is None or until is None:
        return guard
    return every(negate(holds(until)), guard)


def _tighten(state: State, take: Guard) -> None:
    """A greedy step before `state`: nothing leaves it with an event that the greedy step takes."""
    for edge in state.edges:
        edge.guard = every(edge.guard, negate(take))
