"""Rules compiled, and sets of them as immutable snapshots."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saima.streams.matching import guards
from saima.streams.matching.automaton import build
from saima.streams.matching.chain import Link, make_chain
from saima.streams.matching.checks import check_rule
from saima.streams.matching.closures import Shared, Test, Value, compile_node
from saima.streams.matching.conditions import Reader
from saima.streams.matching.errors import Problems, RuleError
from saima.streams.matching.grammar import Rule, parse_rule
from saima.streams.matching.nodes import Accepted, Node, fields, types_named, walk
from saima.streams.matching.runs import FOREVER
from saima.streams.matching.states import State
from saima.streams.matching.tables import STAY, Moves, StateTable, tabulate


@dataclass(eq=False)
class Compiled:
    """A rule ready to run.

    tables: its states but the final and stop ones. start: the one that waits for a first event.
    read: fields of events that its conditions read. kept: fields that accepted events keep for later terms.
    ordered: matches are pruned, so all partial matches of a key are kept in order of their first events.
    """

    rule: Rule
    digest: str
    position: int
    tables: list[StateTable]
    start: StateTable
    read: frozenset[str]
    kept: frozenset[str]
    emits: dict[str, Value]
    types: frozenset[str]
    states: list[State] = field(repr=False)

    @property
    def ordered(self) -> bool:
        """Whether matches prune others."""
        return self.rule.skip.to != "none"

    @property
    def within(self) -> int:
        """Milliseconds from the first accepted event to the deadline."""
        return FOREVER if self.rule.within_ms is None else self.rule.within_ms


def read_rule(document: Any, fields_known: Iterable[str] | None = None) -> Rule:
    """A rule of a JSON document. Raises RuleError with every mistake, each with its step and JSON path.

    fields_known: names of the event fields that conditions may read; None: any.
    """
    rule, _, _ = _checked(document, fields_known)
    return rule


def _checked(document: Any, fields_known: Iterable[str] | None) -> tuple[Rule, Link, dict[str, Node]]:
    problems = Problems()
    name = str(document.get("id", "?")) if isinstance(document, Mapping) else "?"
    if isinstance(document, Rule):
        rule: Rule | None = document
        name = document.id
    else:
        rule = parse_rule(document, problems)
    if rule is None:
        raise RuleError(name, problems.found)
    check_rule(rule, problems)
    known = None if fields_known is None else frozenset(fields_known)
    problems.raise_for(name)
    chain = make_chain(rule, problems, known)
    emits = _emitted(rule, problems, known)
    for i, key in enumerate(rule.keys):
        if known is not None and key not in known:
            problems.add(f"$.key[{i}]" if isinstance(rule.key, list) else "$.key", f"no event has a field '{key}'")
    problems.raise_for(name)
    return rule, chain, emits


def _emitted(rule: Rule, problems: Problems, known: frozenset[str] | None) -> dict[str, Node]:
    from saima.streams.matching.checks import BANS, steps

    names = [step.name for step, _ in steps(rule.pattern, "$.pattern") if step.after not in BANS]
    found = {}
    for name, term in rule.emit.fields.items():
        path = f"$.emit.fields.{name}"
        node = Reader(problems, "", names, known).term(term, path)
        if fields(node):
            problems.add(path, "a match has no current event; write ['last', 'step.field']")
        found[name] = node
    return found


def digest(rule: Rule) -> str:
    """Hash of what a rule says."""
    text = json.dumps(rule.model_dump(mode="json", exclude={"about"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compile_rule(
    document: Any, shared: Shared | None = None, position: int = 0, fields_known: Iterable[str] | None = None
) -> Compiled:
    """A rule compiled. Raises RuleError."""
    rule, chain, emits = _checked(document, fields_known)
    shared = shared or Shared()
    states = build(chain, rule.within_ms)
    conditions = [node for state in states for edge in state.edges for node in guards.conditions(edge.guard)]
    types = {name for node in conditions for name in types_named(node)}
    compiled = Compiled.__new__(Compiled)
    tables = tabulate(compiled, rule, states, types, shared)
    (start,) = (state for state in states if state.start)
    over = [part for node in (*conditions, *emits.values()) for part in walk(node) if isinstance(part, Accepted)]
    compiled.__init__(  # type: ignore[misc]
        rule,
        digest(rule),
        position,
        tables,
        next(table for table in tables if table.name == start.name),
        frozenset(name for node in conditions for name in fields(node)),
        frozenset(part.name for part in over if part.name),
        {name: compile_node(node) for name, node in emits.items()},
        frozenset(types),
        states,
    )
    return compiled


class RuleSet:
    """An immutable snapshot of rules, swapped in between two events.

    starts: per event type the rules that a first event of it may begin; `other` for types that no rule names.
    """

    def __init__(self, rules: Iterable[Compiled], shared: Shared) -> None:
        self.rules = {compiled.rule.id: compiled for compiled in rules}
        self.shared = shared
        by_key: dict[tuple[str, ...], list[Compiled]] = {}
        for compiled in self.rules.values():
            by_key.setdefault(compiled.rule.keys, []).append(compiled)
        self.by_key = {keys: Starts(found) for keys, found in by_key.items()}

    @classmethod
    def read(cls, documents: Iterable[Any], fields_known: Iterable[str] | None = None) -> RuleSet:
        """Rules of JSON documents. Raises RuleError; also if two have one id."""
        shared = Shared()
        found: list[Compiled] = []
        for position, document in enumerate(documents):
            compiled = compile_rule(document, shared, position, fields_known)
            if any(compiled.rule.id == other.rule.id for other in found):
                problems = Problems()
                problems.add("$.id", "the id is taken by another rule of the set")
                problems.raise_for(compiled.rule.id)
            found.append(compiled)
        return cls(found, shared)

    @property
    def digest(self) -> str:
        """Hash of what all rules say."""
        text = json.dumps([[name, compiled.digest] for name, compiled in self.rules.items()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def documents(self) -> list[dict[str, Any]]:
        """The rules as JSON documents."""
        return [document(compiled.rule) for compiled in self.rules.values()]


def document(rule: Rule) -> dict[str, Any]:
    """A rule as a JSON document, without what is default."""
    return rule.model_dump(mode="json", exclude_defaults=True)


class Starts:
    """What a first event may begin, among the rules of one key."""

    def __init__(self, rules: list[Compiled]) -> None:
        self.rules = rules
        plain = [compiled for compiled in rules if not compiled.ordered]
        pruning = [compiled for compiled in rules if compiled.ordered]
        self.by_type = {name: _begun(plain, name) for name in _types(plain)}
        self.other = _begun(plain, None)
        self.ordered = {name: [one[0] for one in _begun(pruning, name)] for name in _types(pruning)}
        self.ordered_other = [one[0] for one in _begun(pruning, None)]


def _types(rules: list[Compiled]) -> set[str]:
    return {name for compiled in rules for name in compiled.start.moves}


Begun = tuple[Compiled, Moves, Test | None, Moves | None, str, str, int]
"""A rule that a first event may begin: its start's moves, and of them guard, follow, follow_type, step, within."""


def _begun(rules: list[Compiled], name: str | None) -> list[Begun]:
    found: list[Begun] = []
    for compiled in rules:
        start = compiled.start
        moves = start.other if name is None else start.moves.get(name, start.other)
        if moves.shape != STAY:
            step, within = moves.step, moves.within
            found.append((compiled, moves, moves.guard, moves.follow, moves.follow_type, step, within))
    return found
