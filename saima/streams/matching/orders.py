"""Orders that change the deployed rules: records of the log, so that a replay swaps them between the same events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import polars as pl
from xxhash import xxh3_128_hexdigest

from saima.errors import SaimaError
from saima.events import RULES, RULES_TOPIC, Event, to_table_frame
from saima.stores.interfaces import EventLog
from saima.streams.matching.deployment import InFlight, refuse_reuse
from saima.streams.matching.rules import Compiled, RuleSet, digest, read_rule
from saima.streams.matching.runs import FOREVER
from saima.streams.ordering import ENVELOPE

_ROW = {**ENVELOPE, "order": pl.String()}

BY_HAND = "by hand"
"""Origin of an order that a person gave; that of a watched file is its path."""


@dataclass(frozen=True)
class Order:
    """Rules to deploy, as JSON documents, and rules to disable, by id, with what becomes of partial matches.

    origin: who gave it, `BY_HAND` or a file's path.
    """

    deploy: Sequence[Mapping[str, Any]] = ()
    disable: Sequence[str] = ()
    in_flight: InFlight = "drain"
    origin: str = BY_HAND

    def event(self, now: int, number: int = 0) -> Event:
        """The order as an event of the topic `rules`, given at `now` (ms); equal orders of one moment have one id."""
        text = json.dumps(vars(self), sort_keys=True, default=list)
        identity = xxh3_128_hexdigest(f"{now} {number} {text}".encode())
        return Event(self.origin, RULES, now, number, identity, {"order": text})

    @classmethod
    def read(cls, text: str) -> Order:
        """The order of a record. Raises ValueError or TypeError if it is none."""
        found = cls(**json.loads(text))
        if found.in_flight not in get_args(InFlight):
            raise ValueError(f"in_flight is '{found.in_flight}'; give one of {', '.join(get_args(InFlight))}")
        return found


@dataclass(frozen=True)
class Retired:
    """A rule that was replaced or disabled and whose partial matches go on until a watermark, in ms, at the latest.

    on: the topics that it sees, none for all.
    """

    id: str
    version: int
    digest: str
    on: Sequence[str]
    until: int


@dataclass
class Rulebook:
    """Where deployed rules came from, and what a person disabled although its file still has it.

    origins: by id of a deployed rule. disabled: by id the digest of the rule that was disabled; its file brings it back
    by saying something else. retired: rules that may have partial matches, told by orders and the watermark alone, so
    that every shard says the same, whatever keys it has.
    """

    origins: dict[str, str] = field(default_factory=dict)
    disabled: dict[str, str] = field(default_factory=dict)
    retired: list[Retired] = field(default_factory=list)

    def draining(self, watermark: int) -> list[Retired]:
        """Rules that may have partial matches at a watermark, although they are not deployed any more."""
        return [one for one in self.retired if one.until > watermark]

    def after(self, rules: RuleSet, order: Order, watermark: int) -> RuleSet:
        """The rules as an order that comes at a watermark leaves them; the book follows.

        Raises RuleError, and does nothing, for a wrong rule, and for a version that a draining rule has.
        """
        documents = {document["id"]: document for document in rules.documents()}
        new = {str(document.get("id", "?")): dict(document) for document in order.deploy}
        gone = [name for name in order.disable if name in documents]
        kept = {name: document for name, document in documents.items() if name not in gone}
        made = RuleSet.read({**kept, **new}.values())
        draining = self.draining(watermark)
        for one in draining:
            refuse_reuse(made, one.id, one.version, one.digest)
        fresh = [_retired(old, watermark) for name, old in rules.rules.items() if _differs(made, name, old)]
        self.retired = [*draining, *fresh] if order.in_flight == "drain" else []
        for name in gone:
            self.origins.pop(name, None)
            if order.origin == BY_HAND:
                self.disabled[name] = rules.rules[name].digest
        for name in new:
            self.origins[name] = order.origin
            self.disabled.pop(name, None)
        return made

    def pack(self) -> bytes:
        """JSON, equal for equal books."""
        return json.dumps({**vars(self), "retired": [vars(one) for one in self.retired]}, sort_keys=True).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Rulebook:
        """A packed book."""
        found = json.loads(data)
        return cls(**{**found, "retired": [Retired(**one) for one in found.get("retired", ())]})


def _retired(old: Compiled, watermark: int) -> Retired:
    within = old.rule.within_ms
    until = FOREVER if within is None else watermark + within
    return Retired(old.rule.id, old.rule.version, old.digest, list(old.rule.on or ()), until)


def _differs(made: RuleSet, name: str, old: Compiled) -> bool:
    new = made.rules.get(name)
    return new is None or new.digest != old.digest


@dataclass(frozen=True)
class RuleFile:
    """What a watched file says: rules as JSON documents that are known to be right; None if the file is wrong now."""

    rules: Sequence[Mapping[str, Any]] | None
    in_flight: InFlight = "drain"


def wanted(files: Mapping[str, RuleFile], rules: RuleSet, book: Rulebook) -> list[Order]:
    """Orders that bring the deployed rules to what watched files, by path, say; nothing where they agree.

    A rule that a person disabled stays so until its file says something else; the rules of a file that is wrong stay.
    """
    found = []
    named: set[str] = set()
    for origin, file in sorted(files.items()):
        new = []
        for document in file.rules or ():
            rule = read_rule(document)
            named.add(rule.id)
            deployed = rules.rules.get(rule.id)
            if digest(rule) not in (deployed and deployed.digest, book.disabled.get(rule.id)):
                new.append(document)
        if new:
            found.append(Order(new, in_flight=file.in_flight, origin=origin))
    gone: dict[str, list[str]] = {}
    for name, origin in book.origins.items():
        wrong = origin in files and files[origin].rules is None
        if origin != BY_HAND and name not in named and not wrong:
            gone.setdefault(origin, []).append(name)
    return [*found, *(Order((), names, origin=origin) for origin, names in sorted(gone.items()))]


def give(log: EventLog, orders: Sequence[Order], now: int) -> int:
    """Append orders given at `now` (wall ms) to the log; the offset of the last."""
    events = [order.event(now, number) for number, order in enumerate(orders)]
    rows = pl.DataFrame([(e.key, e.type, e.time, e.seq, e.id, e.payload["order"]) for e in events], _ROW, orient="row")
    # not to_table: Arrow imports pandas to read Python's objects, which is most of the time of a command
    return log.append(RULES, to_table_frame(RULES_TOPIC, rows, now))[0]


def read_rules(text: str, known: Iterable[str] | None = None) -> RuleFile:
    """Rules of a file. Raises RuleError for a wrong rule, SaimaError for another shape, ValueError for no JSON."""
    found: Any = json.loads(text)
    how: Any = "drain"
    if isinstance(found, dict) and "rules" in found:
        how = found.get("in_flight", how)
        unknown = sorted(found.keys() - {"rules", "in_flight"})
        if unknown or how not in get_args(InFlight):
            what = f"'{unknown[0]}' is unknown" if unknown else f"in_flight is {how!r}"
            raise SaimaError(
                f"{what}; a file of rules has 'rules' and 'in_flight', one of {', '.join(get_args(InFlight))}"
            )
        found = found["rules"]
    documents = found if isinstance(found, list) else [found]
    for document in documents:
        read_rule(document, known)
    return RuleFile(documents, how)
