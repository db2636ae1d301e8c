"""Which windows this process reads for its callers, for the registry, so that the worker can name what nobody reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from saima.features.algorithm import Algorithm
from saima.features.windows import reads

FACT = "read/"
"""Before a table's name in the online store, the registry's fact {"at": ms} of its last read, within the hour."""

HOUR = 3_600_000


def tables_of(algorithm: Algorithm) -> list[str]:
    """Tables of the windows that the algorithm's features read."""
    read = algorithm.plan.aggregates
    return sorted({one.group.table for one in reads(algorithm.declaration) if one.aggregate in read})


class Reads:
    """Notes reads by any number of threads; `take` gives each table at most once an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._answers: dict[str, int] = {}

    def note(self, tables: Iterable[str], now: int) -> None:
        """Tables were read (ms)."""
        with self._lock:
            self._noted.update(dict.fromkeys(tables, now))

    def answered(self, traffic: Iterable[Mapping[str, Any]], tables: Callable[[str], Iterable[str]], now: int) -> None:
        """Note what predictions read: `traffic` as the meter counts it, `tables` of an algorithm that has answered."""
        counts: dict[str, int] = {}
        for row in traffic:
            counts[row["algorithm"]] = counts.get(row["algorithm"], 0) + row["answers"]
        for name, count in counts.items():
            if count > self._answers.get(name, 0):
                self.note(tables(name), now)
        self._answers = counts

    def take(self) -> dict[str, int]:
        """Reads that the registry does not know of: by table when, ms."""
        with self._lock:
            due = {table: at for table, at in self._noted.items() if at - self._told.get(table, -HOUR) >= HOUR}
            self._told.update(due)
            self._noted.clear()
        return due
