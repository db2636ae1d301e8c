"""What is damaged in the event log's file, and how it is set aside so that the rest can be read."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from saima.errors import CorruptSegment
from saima.stores.segments import decode


@dataclass(frozen=True, slots=True)
class Damage:
    """A run of offsets that cannot be read; `topic` is empty where the rows are missing altogether."""

    first: int
    last: int
    topic: str
    reason: str


def find_damages(connection: sqlite3.Connection, path: Path) -> list[Damage]:
    """Damaged and missing segments of the log's file, oldest first; those already set aside are none."""
    cut = connection.execute("SELECT value FROM facts WHERE name = 'cut'").fetchone()
    expected = 1 if cut is None else int(cut[0]) + 1
    damages = []
    for last, first, topic, crc, data in connection.execute(
        "SELECT last, first, topic, crc, data FROM segments ORDER BY last"
    ):
        if first > expected:
            damages.append(Damage(expected, first - 1, "", "missing"))
        expected = last + 1
        if data is not None:
            try:
                decode(data, crc, topic, first, last, path)
            except CorruptSegment as error:
                damages.append(Damage(first, last, topic, str(error)))
    head = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
    if head is not None and expected <= int(head[0]):
        damages.append(Damage(expected, int(head[0]), "", "missing"))
    return damages


def set_aside(connection: sqlite3.Connection, damage: Damage, folder: Path) -> None:
    """Keep a damaged segment's bytes in a file and leave an empty row in its place; inside a write transaction."""
    if not damage.topic:
        connection.execute(
            "INSERT INTO segments (last, first, topic, appended, crc, data) VALUES (?, ?, '', 0, 0, NULL)",
            (damage.last, damage.first),
        )
        return
    row = connection.execute("SELECT data FROM segments WHERE last = ?", (damage.last,)).fetchone()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{damage.first}-{damage.last}.segment").write_bytes(row[0])
    connection.execute("UPDATE segments SET data = NULL WHERE last = ?", (damage.last,))
