"""The feature service: values by name, with age and version, whatever computes them; any number of threads may ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saima.errors import RequestError, StoreError
from saima.features.caches.tables import Caches
from saima.host.access import Caller
from saima.host.features_keys import PREFIX, declared_fields, fields_of
from saima.host.features_names import FIELD, Named, Names
from saima.host.features_plan import NamedFeatures
from saima.host.features_reads import OneRead

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm
    from saima.stores.interfaces import OnlineRead, OnlineStore

MOST = 500
"""Names of one question."""

TIME = "time"
_KEPT = 64


@dataclass(frozen=True)
class Question:
    """Names, keys by field (text), the moment asked for (ms; None: now), and who asks."""

    names: Sequence[str]
    keys: Mapping[str, str]
    time: int | None
    caller: Caller


class FeatureService:
    """Answers questions over one online store, each in one read transaction."""

    def __init__(self, online: OnlineStore) -> None:
        self._online = OneRead(online)
        self._caches = Caches(self._online)
        self._compiled: OrderedDict[tuple[object, ...], NamedFeatures] = OrderedDict()
        self._names: tuple[set[str], Names] = (set(), Names({}))
        self._lock = threading.Lock()

    def answer(
        self, question: Question, algorithms: Mapping[str, Algorithm], now: int, timed: Collection[str]
    ) -> dict[str, Any]:
        """Time, position and one document a name, in the names' order, as JSON data.

        now: the clock, ms UTC. timed: algorithms whose callers may set the time. What the store does not give is
        missing, and named in `degraded`. Raises RequestError naming the parameter: 404 for a name that the caller may
        not read or that is not there, 422 for keys and time.
        """
        chosen = self._find(question, algorithms)
        groups: dict[str, list[Named]] = {}
        for named in chosen:
            groups.setdefault(named.algorithm, []).append(named)
        for name in groups:
            if question.time is not None and name not in timed:
                raise RequestError(f"the deployment of '{name}' does not let a caller set the time; leave it out", TIME)
        q = now if question.time is None else question.time
        types = {name: declared_fields(algorithms[name].declaration.request) for name in groups}
        known = {key for fields in types.values() for column in fields for key in (column, column.partition(".")[2])}
        compiled = {name: self._compile(algorithms[name], tuple(group)) for name, group in groups.items()}
        sides = {name: fields_of(types[name], one.needed, question.keys, known) for name, one in compiled.items()}
        documents: dict[str, dict[str, Any]] = {}
        position: dict[str, int] = {}
        with self._transaction() as read:
            for name, one in compiled.items():
                found, covered = one.answer(read, sides[name], q)
                documents |= {document["name"]: document for document in found}
                position |= {str(partition): offset for partition, offset in covered.items()}
        return {"time": q, "position": position, "features": [documents[named.full_name] for named in chosen]}

    def _find(self, question: Question, algorithms: Mapping[str, Algorithm]) -> list[Named]:
        if not 0 < len(question.names) <= MOST:
            raise RequestError(f"ask for 1 to {MOST} names, not {len(question.names)}", FIELD)
        digests = {algorithm.digest for algorithm in algorithms.values()}
        held, names = self._names
        if held != digests:
            names = Names(algorithms)
            self._names = (digests, names)
        found = [names.find(text, question.caller.may_read) for text in question.names]
        return list(dict.fromkeys(found))

    def _compile(self, algorithm: Algorithm, names: tuple[Named, ...]) -> NamedFeatures:
        key = (algorithm.digest, names)
        with self._lock:
            found = self._compiled.get(key)
            if found is not None:
                self._compiled.move_to_end(key)
                return found
        made = NamedFeatures(algorithm, names, self._online, self._caches)
        with self._lock:
            self._compiled[key] = made
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return made

    @contextmanager
    def _transaction(self) -> Iterator[OnlineRead | None]:
        """The transaction of an answer; None where the store cannot be read, which extractors then find, too."""
        with ExitStack() as stack:
            try:
                read = stack.enter_context(self._online.hold())
            except StoreError:
                read = None
            yield read


def parse_query(pairs: Sequence[tuple[str, str]], caller: Caller) -> Question:
    """The question of a URL's query: `name` as often as needed, `key.<field>` and `time` once each.

    Raises RequestError naming the parameter that is unknown, given twice or malformed.
    """
    names: list[str] = []
    once: dict[str, str] = {}
    for parameter, value in pairs:
        if parameter == FIELD:
            names.append(value)
            continue
        if parameter != TIME and not parameter.startswith(PREFIX):
            raise RequestError(f"unknown parameter; send {FIELD}, {PREFIX}<field> or {TIME}", parameter)
        if parameter in once:
            raise RequestError("is given twice", parameter)
        once[parameter] = value
    text = once.pop(TIME, None)
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RequestError(f"must be milliseconds UTC, not '{text[:40]}'", TIME)
    keys = {parameter.removeprefix(PREFIX): value for parameter, value in once.items()}
    return Question(names, keys, None if text is None else int(text), caller)
