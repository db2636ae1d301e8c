"""Channels that ask nobody: one gives what a journal record holds, one what warms code up."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from saima.errors import SaimaError
from saima.features.declaration import Declaration
from saima.host.channel import Call, Channel, Entry


class Answered:
    """A call that has its answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def result(self) -> dict[str, Any]:
        """The answer; every caller gets one of its own."""
        return copy.deepcopy(self._answer)


class RecordedChannel(Channel):
    """Answers with the entries of a journal record, whatever order they are asked for in."""

    def __init__(self, declared: Declaration, entries: Sequence[Entry]) -> None:
        super().__init__(declared)
        self._rows = {
            (entry["read"], key): row
            for entry in entries
            if "read" in entry
            for key, row in zip(entry["keys"], entry["rows"], strict=True)
        }
        self._answers = {(entry["call"], entry["batch"]): entry["answer"] for entry in entries if "call" in entry}

    def _read(self, table: str, keys: list[str | None]) -> list[dict[str, Any] | None]:
        missing = next((key for key in keys if (table, key) not in self._rows), None)
        if missing is not None:
            raise SaimaError(f"the record holds no read of '{table}' with key '{missing}'")
        return [copy.deepcopy(self._rows[table, key]) for key in keys]

    def _start(self, algorithm: str, batch: Mapping[str, Any], digest: str) -> Call:  # noqa: ARG002 - as declared
        answer = self._answers.get((algorithm, digest))
        if answer is None:
            raise SaimaError(f"the record holds no answered call of '{algorithm}' with this batch ({digest})")
        return Answered(answer)


class WarmChannel(Channel):
    """Finds no row, and every algorithm scores 0: enough to run code for the first time, with no store and no other."""

    def __init__(self, declared: Declaration, time: int) -> None:
        super().__init__(declared)
        self._time = time

    def _read(self, table: str, keys: list[str | None]) -> list[dict[str, Any] | None]:  # noqa: ARG002 - as declared
        return [None] * len(keys)

    def _start(self, algorithm: str, batch: Mapping[str, Any], digest: str) -> Call:  # noqa: ARG002 - as declared
        items = batch.get("items")
        answer: dict[str, Any] = {
            "trace": "",
            "attempt": 1,
            "algorithm": algorithm,
            "version": 0,
            "lineage": "",
            "epoch": 0,
            "experiment": "",
            "arm": "",
            "parameters": {},
            "scores": [0.0] * (len(items) if items else 1),
            "degraded": [],
            "time": self._time,
        }
        if items:
            answer["items"] = [item.get("item_id") for item in items]
        return Answered(answer)
