"""An algorithm's recorded events: `algorithms/<name>/sources.py`, what it declares, and which topic asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl

from saima.errors import DeclarationError, Place
from saima.features.declaration import Declaration
from saima.recordings import load_private

DAY = 86_400_000


@dataclass(frozen=True)
class Recording:
    """Recorded events: where history starts and ends (ms UTC), and the topic whose events are the requests."""

    module: ModuleType
    start: int
    end: int
    requests: str

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The UTC days that hold history."""
        return dg.DailyPartitionsDefinition(start_date=_day(self.start), end_date=_day(self.end + DAY))

    @property
    def days(self) -> tuple[str, str]:
        """First and last partition."""
        return _day(self.start), _day(self.end)

    def events(self, datasets: Path) -> dict[str, pl.LazyFrame]:
        """Recorded events by topic: key, type, time, seq, id and the topic's fields."""
        return _events(self.module.recorded_events, datasets)


def recording(directory: Path, declaration: Declaration) -> Recording | None:
    """The recording in an algorithm's folder, or None if it has none.

    `sources.py` gives `recorded_events(datasets)`, `HISTORY_START` and `HISTORY_END`. Raises DeclarationError naming
    the file where one is missing.
    """
    path = directory / "sources.py"
    if not path.exists():
        return None
    module = load_private(path, f"saima_recording_{declaration.algorithm}")
    missing = [name for name in ("recorded_events", "HISTORY_START", "HISTORY_END") if not hasattr(module, name)]
    if missing:
        raise DeclarationError(f"{', '.join(missing)} must be defined here", Place(str(path), 1, 1))
    return Recording(module, module.HISTORY_START, module.HISTORY_END, request_topic(declaration))


def request_topic(declaration: Declaration) -> str:
    """The first source whose events hold every field of a request."""
    needed = {*declaration.request.fields, *declaration.request.user}
    for topic, source in declaration.sources.items():
        if needed <= set(source.fields):
            return topic
    raise DeclarationError(
        f"algorithm '{declaration.algorithm}': no source holds all request fields ({', '.join(sorted(needed))}), so "
        "its recorded events cannot be turned into requests"
    )


@cache
def _events(recorded_events: Callable[[Path], dict[str, pl.LazyFrame]], datasets: Path) -> dict[str, pl.LazyFrame]:
    """The recording, derived once in a run that loads several of its topics."""
    return recorded_events(datasets)


def _day(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d")
