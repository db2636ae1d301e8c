from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from saima.errors import CorruptSegment, StoreError
from saima.stores.log import SqliteLog

FILLER = """
import resource, sys, pyarrow as pa
from pathlib import Path
from saima.errors import StoreError
from saima.stores.log import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    while True:
        print(log.append("t", pa.table({"v": list(range(5_000))}))[0], flush=True)
except StoreError as error:
    print("StoreError", error, flush=True)
"""


def rows(first: int, count: int = 2) -> pa.Table:
    return pa.table({"v": list(range(first, first + count))})


def write(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "events.db")
    for first in (1, 3, 5):
        log.append("t", rows(first))
    return log


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE segments SET data = zeroblob(length(data)) WHERE first = 3",
        "UPDATE segments SET data = substr(data, 1, length(data) - 9) WHERE first = 3",
        "UPDATE segments SET topic = 'u' WHERE first = 3",
        "UPDATE segments SET crc = crc + 1 WHERE first = 3",
    ],
)
def test_a_corrupt_segment_stops_the_reader_and_names_itself(log: SqliteLog, statement: str) -> None:
    write(log.path, statement)
    assert [s.first for s in log.read({})] == [1]
    with pytest.raises(CorruptSegment, match=r"segment 3 to 4 of topic '[tu]' in .*events.db is corrupt"):
        log.read({0: 2})
    assert [s.first for s in log.read({0: 4})] == [5]


def test_missing_segments_are_noticed(log: SqliteLog) -> None:
    write(log.path, "DELETE FROM segments WHERE first IN (3, 5)")
    assert [s.first for s in log.read({})] == [1]
    with pytest.raises(CorruptSegment, match="offsets 3 to 6 are missing"):
        log.read({0: 2})
    log.append("t", rows(7))
    with pytest.raises(CorruptSegment, match="offsets 3 to 6 are missing"):
        log.read({0: 2})


def test_repair_sets_damage_aside_and_keeps_the_bytes(log: SqliteLog) -> None:
    log.append("t", rows(7))
    write(log.path, "UPDATE segments SET crc = 0 WHERE first = 3")
    write(log.path, "DELETE FROM segments WHERE first = 5")
    assert [(d.first, d.last, d.topic) for d in log.damages()] == [(3, 4, "t"), (5, 6, "")]
    assert [(d.first, d.last) for d in log.repair()] == [(3, 4), (5, 6)]
    assert log.damages() == []
    assert log.repair() == []
    assert [s.first for s in log.read({})] == [1, 7]
    kept = log.path.parent / "set-aside" / "3-4.segment"
    assert pa.ipc.open_stream(kept.read_bytes()).read_all().equals(rows(3))
    assert log.append("t", rows(9)) == {0: 10}


def test_repair_of_a_lost_tail(log: SqliteLog) -> None:
    write(log.path, "DELETE FROM segments WHERE first = 5")
    assert [(d.first, d.last, d.topic) for d in log.repair()] == [(5, 6, "")]
    assert log.head() == {0: 6}
    assert log.read({0: 4}) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"cannot open the event log .*events.db: it is not a SQLite file"):
        SqliteLog(path)


def test_a_truncated_file(log: SqliteLog) -> None:
    for number in range(50):
        log.append("t", rows(number, 500))
    log.close()  # the last connection moves the WAL into the file
    size = log.path.stat().st_size
    with log.path.open("r+b") as file:
        file.truncate(size // 3)
    with pytest.raises(StoreError, match=r"events.db.*(damaged or truncated|truncated or the disk)"):
        SqliteLog(log.path).read({}, rows=10**6)


def test_a_folder_that_may_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file, no folder")
    with pytest.raises(StoreError, match="cannot open the event log"):
        SqliteLog(tmp_path / "log" / "events.db")


def test_no_room_is_said_and_loses_nothing(tmp_path: Path, start) -> None:
    path = tmp_path / "events.db"
    process = start(FILLER, path)
    output, errors = process.communicate(timeout=60)
    *offsets, message = output.splitlines()
    assert message.startswith("StoreError cannot append 5000 rows of topic 't'"), errors
    assert offsets
    log = SqliteLog(path)
    assert log.head() == {0: int(offsets[-1])}
    assert sum(s.table.num_rows for s in log.read({}, rows=10**6)) == int(offsets[-1])
