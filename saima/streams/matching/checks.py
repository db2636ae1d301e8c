"""What a rule's shape cannot say: which steps, repetitions, bans and names go together."""

from __future__ import annotations

from collections.abc import Iterator

from saima.errors import suggest
from saima.streams.matching.chain import repetitions
from saima.streams.matching.errors import Problems
from saima.streams.matching.grammar import Element, Group, Rule, Step

BANS = ("not_next", "not_followed_by")
RESERVED = "$end"


def check_rule(rule: Rule, problems: Problems) -> None:
    """Note every mistake in how the parts of a rule fit together."""
    _names(rule, problems)
    _chain(rule.pattern, "$.pattern", problems)
    _ends(rule, problems)
    _skip(rule, problems)
    for i, name in enumerate(rule.keys):
        if rule.keys.index(name) != i:
            problems.add(f"$.key[{i}]", f"'{name}' is given twice")
    for i, name in enumerate(rule.on or []):
        if (rule.on or []).index(name) != i:
            problems.add(f"$.on[{i}]", f"'{name}' is given twice")
    for step, path in steps(rule.pattern, "$.pattern"):
        bounds = step.gap_ms if isinstance(step.gap_ms, tuple) else (0, step.gap_ms)
        if bounds[1] is not None and bounds[0] >= bounds[1]:
            problems.add(f"{path}.gap_ms", f"nothing lies between {bounds[0]} and {bounds[1]}", step.name)
        if rule.within_ms is not None and bounds[1] is not None and bounds[1] > rule.within_ms:
            problems.add(f"{path}.gap_ms", f"is longer than within_ms, {rule.within_ms}", step.name)
        if rule.within_ms is not None and bounds[0] >= rule.within_ms:
            problems.add(f"{path}.gap_ms", f"starts where within_ms, {rule.within_ms}, has ended", step.name)


def steps(elements: list[Element], path: str) -> Iterator[tuple[Step, str]]:
    """Steps with their JSON paths, groups opened."""
    for i, element in enumerate(elements):
        if isinstance(element, Group):
            yield from steps(element.group, f"{path}[{i}].group")
        else:
            yield element, f"{path}[{i}]"


def _names(rule: Rule, problems: Problems) -> None:
    seen: set[str] = set()
    for step, path in steps(rule.pattern, "$.pattern"):
        if step.name in seen:
            problems.add(f"{path}.name", "the name is taken by an earlier step", step.name)
        if step.name.startswith(RESERVED) or ":" in step.name:
            problems.add(f"{path}.name", f"a name does not start with '{RESERVED}' and holds no ':'", step.name)
        seen.add(step.name)


def _chain(elements: list[Element], path: str, problems: Problems) -> None:
    for i, element in enumerate(elements):
        place, name = f"{path}[{i}]", element.name or ""
        before = elements[i - 1] if i else None
        if before is None and element.after is not None:
            ban = ", and a rule does not start with a ban" if element.after in BANS else ""
            problems.add(f"{place}.after", f"the first step follows nothing{ban}; leave 'after' out", name)
        if before is not None and element.after is None:
            problems.add(f"{place}.after", "'after' is missing; only the first step has none", name)
        _repetition(element, place, problems)
        if isinstance(element, Group):
            _group(element, place, problems)
        else:
            _step(element, place, before, problems)


def _repetition(element: Element, path: str, problems: Problems) -> None:
    name = element.name or ""
    least, most = repetitions(element)
    if most is not None and (most < least or most == 0):
        problems.add(f"{path}.times", f"the range [{least}, {most}] is empty", name)
    loop = most is None
    if element.inner is not None and element.times is None:
        problems.add(f"{path}.inner", "'inner' is between repetitions; it needs 'times'", name)
    if element.until is not None and not loop:
        problems.add(f"{path}.until", "'until' ends a loop; it needs times: [min, null]", name)


def _step(step: Step, path: str, before: Element | None, problems: Problems) -> None:
    if step.after in BANS:
        for field in ("times", "inner", "optional", "greedy", "until"):
            if getattr(step, field):
                problems.add(
                    f"{path}.{field}", f"a step after '{step.after}' accepts nothing; it has no '{field}'", step.name
                )
        if before is not None and before.optional:
            problems.add(
                f"{path}.after", f"'{step.after}' does not follow an optional step; write two rules", step.name
            )
        if step.where is None:
            problems.add(
                f"{path}.where", f"'{step.after}' needs a condition: without one it forbids every event", step.name
            )
    if step.greedy and step.times is None:
        problems.add(f"{path}.greedy", "'greedy' is about repetitions; it needs 'times'", step.name)
    if step.greedy and step.inner == "any":
        problems.add(f"{path}.greedy", "'greedy' and inner 'any' contradict each other", step.name)
    if step.gap_ms is not None and before is None and path == "$.pattern[0]":
        problems.add(f"{path}.gap_ms", "the first step has no accepted event before it", step.name)
    if isinstance(step.gap_ms, tuple) and step.gap_ms[0] and step.after in BANS:
        problems.add(f"{path}.gap_ms", f"'{step.after}' has no lower bound of time", step.name)


def _group(group: Group, path: str, problems: Problems) -> None:
    if group.after in BANS:
        problems.add(f"{path}.after", f"a group does not follow '{group.after}'; only a step does", group.name or "")
    last = group.group[-1]
    if last.after in BANS:
        problems.add(f"{path}.group[{len(group.group) - 1}].after", "a group does not end with a ban", last.name or "")
    repeats = group.times is not None and repetitions(group) != (1, 1)
    if repeats and all(_skippable(element) for element in group.group):
        problems.add(f"{path}.group", "a repeated group needs a step that is not optional", group.name or "")
    _chain(group.group, f"{path}.group", problems)


def _skippable(element: Element) -> bool:
    if element.optional or repetitions(element)[0] == 0 or element.after in BANS:
        return True
    return isinstance(element, Group) and all(_skippable(inner) for inner in element.group)


def _ends(rule: Rule, problems: Problems) -> None:
    last = rule.pattern[-1]
    path = f"$.pattern[{len(rule.pattern) - 1}]"
    if last.after == "not_followed_by" and rule.within_ms is None:
        gap = last.gap_ms if isinstance(last, Step) else None
        if gap is None or (isinstance(gap, tuple) and gap[1] is None):
            problems.add(
                f"{path}.after",
                "a rule that ends with not_followed_by needs within_ms: when is it over?",
                last.name or "",
            )


def _skip(rule: Rule, problems: Problems) -> None:
    if rule.skip.to in ("first", "last"):
        names = [step.name for step, _ in steps(rule.pattern, "$.pattern") if step.after not in BANS]
        if rule.skip.step is None:
            problems.add("$.skip.step", f"'{rule.skip.to}' needs the name of a step")
        elif rule.skip.step not in names:
            problems.add("$.skip.step", f"no step '{rule.skip.step}' accepts events{suggest(rule.skip.step, names)}")
    elif rule.skip.step is not None:
        problems.add("$.skip.step", f"'{rule.skip.to}' takes no step")
