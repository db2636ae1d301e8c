"""What `saima streams explain` says of aggregates: which are equal, which share tiles, which are parts of others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from saima.features.windows import Group
from saima.features.windows.canonical import conjuncts
from saima.features.windows.measure import components
from saima.streams.aggregation.columns import columnar
from saima.streams.aggregation.definition import Definition
from saima.streams.aggregation.plan import Plan, algorithm_of

UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def explain(plan: Plan) -> list[str]:
    """Lines: every state with its readers, then definitions that are equal, parts of others, or not computed."""
    counts = f"{len(plan.definitions)} definitions, {len(plan.same)} of them different, in {len(plan.groups)} states"
    lines = [counts, ""]
    for table in sorted(plan.groups):
        lines += [*state(plan, table), ""]
    equal = [names for names in plan.same.values() if len(names) > 1]
    lines += [f"equal: {' = '.join(sorted(names))}" for names in sorted(equal)]
    lines += [f"part: {smaller} counts some of the events of {larger}" for smaller, larger in subsets(plan)]
    idle = sorted(name for name, one in plan.definitions.items() if one.digest not in plan.answers)
    return [*lines, *(f"not computed in the stream: {name} (tier batch)" for name in idle)]


def state(plan: Plan, table: str) -> list[str]:
    """Lines of one state: what it counts, what it keeps, who reads it."""
    group = plan.groups[table]
    readers = [
        plan.definitions[name]
        for digest, answers in plan.answers.items()
        if any(answer.table == table for answer in answers)
        for name in plan.same[digest]
        if plan.across or algorithm_of(plan.definitions[name]) in plan.owners[table]
    ]
    kept = ", ".join(components(group))
    levels = ", ".join(
        f"{duration(hop)} for {duration(width)}" for hop, width in zip(group.hops, group.widths, strict=True)
    )
    where = f" where {group.where}" if group.where else ""
    held = "rows or columns" if columnar(group) else "rows"
    return [
        f"{table}  {group.source} by {', '.join(group.key)}{where}",
        f"  keeps {kept} of {group.value or 'events'}; tiles {levels or 'none'}; events {duration(group.keep)}",
        f"  tier {plan.tiers[table]}, held in {held}; read by {len(readers)}:",
        *(
            f"    {one.name}: {', '.join(one.measures)} over {', '.join(one.texts)}{reused(one, group)}"
            for one in readers
        ),
    ]


def reused(definition: Definition, group: Group) -> str:
    """What a definition takes from finer tiles than its own."""
    finest = min(group.hops, default=0)
    coarser = [text for text, (_, hop) in zip(definition.texts, definition.windows, strict=True) if hop > finest > 0]
    return f" ({', '.join(coarser)} from tiles of {duration(finest)})" if coarser else ""


def subsets(plan: Plan) -> Iterator[tuple[str, str]]:
    """Pairs of which the first counts, by its condition, some of the events of the second, over the same keys."""
    families: dict[tuple[object, ...], list[Definition]] = {}
    for names in plan.same.values():
        one = plan.definitions[names[0]]
        families.setdefault((one.source, one.key, one.value), []).append(one)
    for members in families.values():
        conditions = {one.name: conjuncts(one.where) for one in members}
        for one, other in permutations(members, 2):
            if conditions[one.name] > conditions[other.name]:
                yield one.name, other.name


def duration(time: int) -> str:
    """A duration as a declaration writes it.

    >>> duration(5_400_000), duration(7_200_000)
    ('90m', '2h')
    """
    for size, unit in UNITS:
        if time >= size and time % size == 0:
            return f"{time // size}{unit}"
    return f"{time}ms"
