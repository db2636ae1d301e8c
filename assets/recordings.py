"""An algorithm's recorded events as daily partitions of history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import dagster as dg

from saima import recordings
from saima.features.declaration import Declaration

DAY = 86_400_000


@dataclass(frozen=True)
class Recording:
    """Recorded events: where history starts and ends (ms UTC), and the topic whose events are the requests."""

    folder: Path
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

    def load(self, datasets: Path) -> recordings.Recording:
        """Events and candidates, derived once in a run that loads several topics."""
        return _load(self.folder, datasets)


def recording(directory: Path, declaration: Declaration) -> Recording | None:
    """The recording in an algorithm's folder, or None if it has none.

    Raises DeclarationError naming the file where something is missing in it.
    """
    if not (directory / "sources.py").exists():
        return None
    found = recordings.load_recording(directory, Path())
    return Recording(directory, found.history_start, found.history_end, recordings.request_topic(declaration))


@cache
def _load(folder: Path, datasets: Path) -> recordings.Recording:
    return recordings.load_recording(folder, datasets)


def _day(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d")
