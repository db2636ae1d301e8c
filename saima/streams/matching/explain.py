"""Rules as text: what each state waits for, what rules share, what makes one dear."""

from __future__ import annotations

from saima.streams.matching.rules import Compiled, RuleSet
from saima.streams.matching.tables import StateTable


def explain(rules: RuleSet) -> str:
    """Text for people: every rule with its states, then the conditions that several rules share."""
    lines: list[str] = []
    for compiled in rules.rules.values():
        lines += _rule(compiled)
    shared = sorted((name for name, uses in rules.shared.uses.items() if uses > 1))
    if shared:
        lines.append("evaluated once an event, however often they are asked:")
        lines += [f"  {name} ({rules.shared.uses[name]} times)" for name in shared]
    return "\n".join(lines)


def _rule(compiled: Compiled) -> list[str]:
    rule = compiled.rule
    key = ", ".join(rule.keys) or "the event's key"
    within = "without end" if rule.within_ms is None else f"within {rule.within_ms} ms"
    lines = [f"{rule.id} version {rule.version}, by {key}, {within}, {len(compiled.tables)} states"]
    if rule.within_ms is None:
        lines.append("  partial matches of silent keys stay: only limits end them; give within_ms")
    for table in reversed(compiled.tables):
        lines.append(f"  {'begins' if table is compiled.start else 'then'} {table.name}: {_awaits(table)}")
    if compiled.ordered:
        lines.append(f"  a match prunes others (skip to {rule.skip.to}): partial matches of a key are kept in order")
    return lines


def _awaits(table: StateTable) -> str:
    if table.pending:
        return "waits for time"
    if table.awaits is None:
        return "touched by every event"
    kind = " (light)" if table.light else ""
    return f"waits for {', '.join(table.awaits) or 'nothing'}{kind}"
