"""A chain of steps as a nondeterministic automaton, with the states and edges of Flink CEP.

Built from the last step to the first. TAKE accepts the event, IGNORE passes over it, PROCEED goes on with the same
event in another state; a stop state ends the partial match (a ban was hit), a pending one waits for its time (a ban
at the end), a final one is a match. Source of the meaning: Apache Flink, `NFACompiler` (flink-cep).
"""

from __future__ import annotations

from saima.streams.matching.chain import Link
from saima.streams.matching.guards import Guard, every, holds, negate
from saima.streams.matching.states import Kind, State
from saima.streams.matching.taking import Guards, unless


def build(last: Link, within: int | None) -> list[State]:
    """States of a rule's chain; the start state is the last of them that is marked so."""
    return _Builder(last, within).build()


class _Builder(Guards):
    def __init__(self, last: Link, within: int | None) -> None:
        super().__init__(last)
        self.within = within
        self.following: Link | None = None
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
        inner_ignore = unless(self.ignored_inside(link), link.until)
        take = unless(self.taken(link), link.until)
        assert take is not None
        if link.greedy and least != most:
            if link.until is not None:
                self.originals[sink] = self.copy(sink)
            sink.tighten(take)
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
        ignore = unless(self.ignored_inside(link), link.until)
        take = unless(self.taken(link), link.until)
        assert take is not None
        loop = self.normal()
        if link.greedy:
            if link.until is not None:
                copy = self.copy(sink)
                loop.add("proceed", copy, every(truth, holds(link.until)))
                self.originals[sink] = copy
            loop.add("proceed", sink, truth if link.until is None else every(truth, negate(holds(link.until))))
            sink.tighten(self.taken(link))
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
