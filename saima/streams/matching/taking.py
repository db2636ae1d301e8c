"""Which events the steps of a chain take and pass over: the guards of an automaton's edges."""

from __future__ import annotations

from saima.streams.matching import nodes
from saima.streams.matching.chain import Contiguity, Link
from saima.streams.matching.guards import ALWAYS, Guard, every, holds, negate


class Guards:
    """Guards for the link at hand. enclosing: the group whose links are being built; first_of_loop: whether that is its
    first repetition, which follows by the group's own contiguity and not by the one between repetitions."""

    def __init__(self, last: Link) -> None:
        self.current = last
        self.enclosing: Link | None = None
        self.first_of_loop: dict[Link, bool] = {}

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

    def bans(self) -> list[tuple[Guard, str]]:
        """Bans in force before the current link: just before it, or before optional links just before it."""
        found = []
        link = self.current
        while (before := link.previous) is not None and (before.optional or before.contiguity == "not_followed_by"):
            link = before
            if link.contiguity == "not_followed_by":
                found.append((self.taken(link), link.name))
        return found


def unless(guard: Guard | None, until: nodes.Node | None) -> Guard | None:
    """A guard that does not hold where a loop's end does; None stays none."""
    if guard is None or until is None:
        return guard
    return every(negate(holds(until)), guard)
