"""Orders that change what is declared: records of the log, so that a replay swaps between the same events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from saima.errors import DeclarationError
from saima.events import DECLARATIONS, Event, arrow_type
from saima.features.declaration import Declaration, Source

if TYPE_CHECKING:
    from saima.streams.linking import Linking

Document = Mapping[str, Any]
"""An algorithm as JSON data: `digest` (of declaration, vocabularies and code), `declaration` in its canonical form,
what is no part of the digest, by name: of `sources` their `record` and `idle`, of `aggregates` their `tier`; `sessions`
(linkers by name)."""


def document(declaration: Declaration, digest: str, sessions: Mapping[str, Linking] | None = None) -> dict[str, Any]:
    """What an order says of an algorithm."""
    return {
        "digest": digest,
        "declaration": declaration.model_dump(mode="json", by_alias=True),
        "sources": {
            name: {"idle": source.idle, "record": _record(source)} for name, source in declaration.sources.items()
        },
        "aggregates": {name: {"tier": aggregate.tier} for name, aggregate in declaration.aggregates.items()},
        "sessions": {name: json.loads(spec.model_dump_json()) for name, spec in (sessions or {}).items()},
    }


def _record(source: Source) -> dict[str, Any] | None:
    return None if source.record is None else source.record.model_dump(mode="json", by_alias=True)


def declaration(found: Document) -> Declaration:
    """The declaration of a document. Raises ValueError, TypeError or KeyError if it is none."""
    body = dict(found["declaration"])
    for part in ("sources", "aggregates"):
        body[part] = {name: {**one, **found[part].get(name, {})} for name, one in body.get(part, {}).items()}
    return Declaration.model_validate(body)


def sessions(found: Document) -> dict[str, Linking]:
    """The linkers of a document by name. Raises ValueError for one that is none."""
    if not found["sessions"]:
        return {}
    from saima.streams.linking import Linking  # its kernels take a second to import

    return {name: Linking.model_validate(spec) for name, spec in found["sessions"].items()}


@dataclass(frozen=True)
class Order:
    """Algorithms to declare, by name, and names to drop.

    keep: digests of the declarations in force before, whose windows and rows go on being computed, since a routed
    bundle reads them; of what was kept until now, too, nothing else stays.
    """

    declare: Mapping[str, Document] = field(default_factory=dict)
    drop: Sequence[str] = ()
    keep: Sequence[str] = ()

    def event(self, now: int) -> Event:
        """The order as an event of the topic `declarations`, given at `now` (ms)."""
        text = json.dumps(vars(self), default=list)  # unsorted: the order of fields is part of what is declared
        identity = xxh3_128_hexdigest(f"{now} {text}".encode())
        return Event("algorithms", DECLARATIONS, now, 0, identity, {"order": text})

    @classmethod
    def read(cls, text: str) -> Order:
        """The order of a record. Raises ValueError, TypeError or KeyError if it is none."""
        found = cls(**json.loads(text))
        for name, one in found.declare.items():
            if declaration(one).algorithm != name:
                raise ValueError(f"'{name}' is declared as '{declaration(one).algorithm}'")
            sessions(one)
        return found


@dataclass(frozen=True)
class Book:
    """What is in force: documents by algorithm; and by digest what is only computed for bundles that are routed."""

    algorithms: Mapping[str, Document] = field(default_factory=dict)
    kept: Mapping[str, Document] = field(default_factory=dict)

    def after(self, order: Order) -> Book:
        """The book as an order leaves it. Raises DeclarationError for a field whose type changes."""
        algorithms = {**self.algorithms, **order.declare}
        for name in order.drop:
            algorithms.pop(name, None)
        left = [one for name, one in self.algorithms.items() if algorithms.get(name) != one]
        before = {**self.kept, **{one["digest"]: one for one in left}}
        now = {one["digest"] for one in algorithms.values()}
        kept = {digest: before[digest] for digest in sorted(before) if digest in order.keep and digest not in now}
        made = Book(dict(sorted(algorithms.items())), kept)
        _agree([*self.algorithms.values(), *self.kept.values()], order.declare)
        return made

    def declarations(self) -> dict[str, Declaration]:
        """The declarations in force by algorithm."""
        return {name: declaration(one) for name, one in self.algorithms.items()}

    def pack(self) -> bytes:
        """JSON, equal for equal books."""
        return json.dumps(vars(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Book:
        """A packed book."""
        return cls(**json.loads(data))


def _agree(before: Sequence[Document], new: Mapping[str, Document]) -> None:
    """A topic's field keeps its type for as long as the topic is declared: event tables and state hold its values."""
    known: dict[tuple[str, str], str] = {}
    for one in before:
        known |= {(topic, name): dtype for topic, name, dtype in _fields(declaration(one))}
    for algorithm, one in new.items():
        for topic, name, dtype in _fields(declaration(one)):
            old = known.get((topic, name), dtype)
            if arrow_type(old) != arrow_type(dtype):
                raise DeclarationError(
                    f"algorithms/{algorithm}: source '{topic}' has its field '{name}' as {old}, and it cannot become "
                    f"{dtype} while events of it are kept; declare the field under a new name, or a new source"
                )


def _fields(found: Declaration) -> list[tuple[str, str, str]]:
    return [
        (topic, name, str(dtype)) for topic, source in found.sources.items() for name, dtype in source.fields.items()
    ]
