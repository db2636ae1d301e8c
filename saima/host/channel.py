"""The data channel: what an algorithm's own pre- and postprocessing may read, and which algorithms it may ask."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from saima.errors import RequestError, SaimaError, suggest
from saima.features.declaration import Declaration
from saima.features.keys import key_text
from saima.host.request import Ask
from saima.host.tables import Tables

PARTS = ("request", "user", "items")
"""What a batch may hold: the parts of a request's body, as the called algorithm declares them."""

Entry = dict[str, Any]
"""What was read or answered, as the journal keeps it: {read, key, rows, versions} or {call, batch, answer}."""


class Call(Protocol):
    """An algorithm that has been asked."""

    def result(self) -> dict[str, Any]:
        """Its answer: scores, items, version, lineage, arm, degraded. Raises RequestError where it has none."""
        ...


class Channel(ABC):
    """What `preprocess(body, channel)` and `postprocess(body, answer, channel)` get.

    Reads and calls belong to the request: they see its time, share its deadline, and are journalled with its answer, so
    that a replay gives them again.
    """

    def __init__(self, declared: Declaration) -> None:
        self._declared = declared

    def read(self, table: str, keys: Sequence[Any]) -> list[dict[str, Any] | None]:
        """The declared table's row of each key as of the request's time, by column; None where there is none.

        keys: values, or lists of values where the table's key has several fields. A table that cannot be read gives
        None for every key, and the answer is flagged degraded.
        """
        tables = self._declared.tables
        if table not in tables:
            raise SaimaError(f"'{self._declared.algorithm}' declares no table '{table}'{suggest(table, tables)}")
        texts = [key_text(key if isinstance(key, list | tuple) else [key]) for key in keys]
        return self._read(table, texts)

    def start(self, algorithm: str, batch: Mapping[str, Any]) -> Call:
        """Ask an algorithm that the declaration names under `calls`, without waiting: several then run at once.

        batch: `request`, `user` and `items`, as the called algorithm declares them; JSON values.
        """
        if algorithm not in self._declared.calls:
            raise SaimaError(
                f"'{self._declared.algorithm}' may not call '{algorithm}': its declaration does not name it under calls"
            )
        for name in batch:
            if name not in PARTS:
                raise SaimaError(f"a batch for '{algorithm}' has no part '{name}'{suggest(name, PARTS)}")
        return self._start(algorithm, batch, _digest(algorithm, batch))

    def call(self, algorithm: str, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Ask an algorithm and wait for its answer; see `start`."""
        return self.start(algorithm, batch).result()

    @abstractmethod
    def _read(self, table: str, keys: list[str | None]) -> list[dict[str, Any] | None]: ...

    @abstractmethod
    def _start(self, algorithm: str, batch: Mapping[str, Any], digest: str) -> Call: ...


Send = Callable[[Ask, tuple[str, ...]], Call]
"""Asks another algorithm of this host; the names are those of the callers, outermost first."""


class LiveChannel(Channel):
    """Reads the host's stores and asks the host's algorithms; `entries` and `degraded` say what came of it."""

    def __init__(
        self,
        declared: Declaration,
        ask: Ask,
        time: int,
        tables: Tables | None,
        send: Send,
        callers: tuple[str, ...] = (),
    ) -> None:
        """time: q of the request, ms UTC. tables: None where there is no store, so that every read is degraded."""
        super().__init__(declared)
        self.entries: list[Entry] = []
        self.degraded: list[str] = []
        self._ask = ask
        self._time = time
        self._tables = tables
        self._send = send
        self._callers = (*callers, ask.algorithm)

    def _read(self, table: str, keys: list[str | None]) -> list[dict[str, Any] | None]:
        rows: list[dict[str, Any] | None] = [None] * len(keys)
        versions: list[Any] = [None] * len(keys)
        degraded = True
        if self._tables is not None:
            rows, versions, degraded = self._tables.read(table, keys, self._time)
        if degraded and table not in self.degraded:
            self.degraded.append(table)
        self.entries.append({"read": table, "keys": keys, "rows": copy.deepcopy(rows), "versions": versions})
        return rows

    def _start(self, algorithm: str, batch: Mapping[str, Any], digest: str) -> Call:
        if algorithm in self._callers:
            raise SaimaError(f"a circle of calls: {' -> '.join((*self._callers, algorithm))}")
        given = json.loads(json.dumps(batch))
        asked = Ask(
            algorithm,
            self._ask.trace,
            self._ask.attempt,
            self._ask.unit,
            given.get("request", {}),
            given.get("user"),
            given.get("items"),
            self._time,
        )
        entry: Entry = {"call": algorithm, "batch": digest, "answer": None}
        self.entries.append(entry)
        return _Asked(self._send(asked, self._callers), entry, self.degraded)


class _Asked:
    """A call whose answer goes into the entry once somebody waits for it."""

    def __init__(self, call: Call, entry: Entry, degraded: list[str]) -> None:
        self._call = call
        self._entry = entry
        self._degraded = degraded

    def result(self) -> dict[str, Any]:
        algorithm = self._entry["call"]
        try:
            answer = self._call.result()
        except RequestError as error:
            raise RequestError(f"the call of '{algorithm}': {error}", status=error.status) from error
        if answer["degraded"] and f"call:{algorithm}" not in self._degraded:
            self._degraded.append(f"call:{algorithm}")
        self._entry["answer"] = answer
        return copy.deepcopy(answer)


def _digest(algorithm: str, batch: Mapping[str, Any]) -> str:
    """What a batch is recognised by in a replay: 16 hexadecimal digits of its canonical JSON's SHA-256."""
    try:
        text = json.dumps(batch, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SaimaError(f"the batch for '{algorithm}' is not JSON: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]
