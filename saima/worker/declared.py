"""What is declared on a shard: read from the folder at first, then changed by orders of the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saima.errors import SaimaError, StoreError
from saima.events import DECLARATIONS, DECLARATIONS_TOPIC, to_table
from saima.routing.deployment import read_document
from saima.stores.interfaces import EventLog, OnlineRead, Registry, Segment
from saima.streams.declarations import Book, Order, declaration, sessions
from saima.worker import ledger
from saima.worker.catalog import Catalog, catalog
from saima.worker.declarationfiles import DeclarationFiles, declared, wanted

if TYPE_CHECKING:
    from saima.features.declaration import Declaration
    from saima.streams.linking import Linking

LOG = logging.getLogger("saima.worker")
KEY = "declarations"
"""Of the book in the online table of the ledger."""

FACT = "declarations/"
"""Before a log's generation: the registry's fact of what was in force before the log's first order."""

_NO_ORDER = (SaimaError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_RELEASED = 10.0
"""Seconds between looks at whether a bundle still needs what is kept for it."""


class Declared:
    """The book in force, with what follows from it: `catalog`, `sessions`.

    Of an online store without a book it is what was in force when the log began, or else the folder's. Raises
    DeclarationError for what is wrong there, SaimaError for algorithms that do not go together.
    """

    def __init__(self, folder: Path, read: OnlineRead, registry: Registry, log: EventLog) -> None:
        self.files = DeclarationFiles(folder)
        self.refused = ""
        self._registry = registry
        self._log = log
        self._fact = f"{FACT}{log.generation}"
        self._looked = 0.0
        (stored,) = read.get_many(ledger.TABLE, [KEY])
        self._is_new = stored is None
        if stored is None:
            known = registry.fact(self._fact)
            self.take(Book(declared(folder)) if known is None else Book.unpack(known["book"].encode()))
        else:
            self.take(Book.unpack(stored))

    def take(self, book: Book) -> None:
        """Put a book in force."""
        self.book = book
        self.catalog, self.sessions = _resolved(book)

    @property
    def declarations(self) -> dict[str, Declaration]:
        """Declarations in force, by algorithm."""
        return self.catalog.declarations

    def begin(self) -> None:
        """Remember, before anything is committed, what was in force when the log began."""
        if self._is_new and self._registry.fact(self._fact) is None:
            # A text: a fact's fields are sorted, and their order is part of what is declared.
            self._registry.put_fact(self._fact, {"book": self.book.pack().decode()})
        self._is_new = False

    def after(self, segment: Segment) -> Book:
        """The book as the orders of a segment leave it; one that cannot be carried out is named in `refused`."""
        book = self.book
        for place, text in enumerate(segment.table["order"].to_pylist() if _is_readable(segment) else [None]):
            try:
                made = book.after(Order.read(text))
                _resolved(made)
            except _NO_ORDER as error:
                self.refused = f"the order at offset {segment.first + place} is refused: {error}"
                continue
            book, self.refused = made, ""
        return book

    def watch(self, position: int, now: int) -> int:
        """Order what the folder says, where the log does not say so already; the number of orders.

        position: up to which orders have been carried out; now: wall ms.
        """
        found = self.files.take()
        released = bool(self.book.kept) and time.monotonic() - self._looked > _RELEASED
        if found is None and not released:
            return 0
        self._looked = time.monotonic()
        book = self._to_come(position)
        order, errors = (Order(), {}) if found is None else wanted(found, book)
        for name, error in errors.items():
            self.files.refuse(name, error)
        if order is None and not book.kept:
            return 0
        order = replace(order or Order(), keep=self._routed())
        if book.after(order) == book:
            return 0
        self._log.append(DECLARATIONS, to_table(DECLARATIONS_TOPIC, [order.event(now)], now))
        return 1

    def status(self) -> dict[str, Any]:
        """What the worker tells: digests in force and kept, what of the folder is wrong, the newest refusal."""
        return {
            "declarations": {name: one["digest"] for name, one in self.book.algorithms.items()},
            "kept_declarations": list(self.book.kept),
            "wrong_declarations": self.files.errors,
            "refused_declarations": self.refused,
        }

    def _to_come(self, position: int) -> Book:
        """The book as the orders that are in the log after a position will leave it."""
        book, after = self.book, position
        while segments := self._log.read({0: after}, topics=[DECLARATIONS]):
            for segment in segments:
                for text in segment.table["order"].to_pylist() if _is_readable(segment) else ():
                    try:
                        book = book.after(Order.read(text))
                    except _NO_ORDER:
                        continue
            after = segments[-1].last
        return book

    def _routed(self) -> list[str]:
        """Digests of the declarations that routed bundles were made of; where nobody can say, all there are."""
        found = set()
        try:
            for state in read_document(self._registry.deployment().document).algorithms.values():
                for lineage in state.lineages.values():
                    for publication in lineage.wanted:
                        found.add(str(self._registry.bundle(publication).manifest.get("declaration_digest", "")))
        except StoreError as error:
            LOG.warning("what is declared no longer is kept, since nobody can say what is routed: %s", error)
            found = {*self.book.kept, *(str(one["digest"]) for one in self.book.algorithms.values())}
        return sorted(found - {""})


def until_order(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The segments before the first that orders declarations; that one alone where it is the first."""
    places = [place for place, segment in enumerate(segments) if segment.topic == DECLARATIONS]
    return segments[: max(places[0], 1)] if places else segments


def _resolved(book: Book) -> tuple[Catalog, dict[str, Linking]]:
    """Catalog and linkers of a book. Raises SaimaError where its algorithms do not go together."""
    found = catalog(book.declarations(), [declaration(one) for one in book.kept.values()])
    linkers: dict[str, Linking] = {}
    for name, one in book.algorithms.items():
        for linker, spec in sessions(one).items():
            if linker in linkers:
                raise SaimaError(f"algorithms/{name}: another algorithm declares sessions '{linker}'; rename one file")
            linkers[linker] = spec
    return found, linkers


def _is_readable(segment: Segment) -> bool:
    return "order" in segment.table.column_names
