from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.errors import PositionError, StoreError
from saima.settings import Settings
from saima.stores import open_log
from saima.stores.log import SqliteLog

APPENDER = """
import sys, pyarrow as pa
from pathlib import Path
from saima.stores.log import SqliteLog
log, name, last = SqliteLog(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
number = log.produced(name) + 1
while number <= last:
    rows = list(range(number, min(number + number % 5, last) + 1))
    log.append("t", pa.table({"producer": [name] * len(rows), "number": rows}), (name, rows[-1]))
    number = rows[-1] + 1
"""


def table(*values: int) -> pa.Table:
    return pa.table({"v": pa.array(values, pa.int64())})


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return open_log(Settings(home=tmp_path))


def test_offsets_run_over_all_topics(log: SqliteLog) -> None:
    assert log.head() == {0: 0}
    assert log.append("a", table(1, 2)) == {0: 2}
    assert log.append("b", table(3)) == {0: 3}
    assert log.append("a", table(4, 5)) == {0: 5}
    assert [(s.topic, s.first, s.last, s.table["v"].to_pylist()) for s in log.read({})] == [
        ("a", 1, 2, [1, 2]),
        ("b", 3, 3, [3]),
        ("a", 4, 5, [4, 5]),
    ]


def test_read_begins_inside_a_segment(log: SqliteLog) -> None:
    log.append("a", table(1, 2, 3, 4))
    [segment] = log.read({0: 2})
    assert (segment.first, segment.last, segment.table["v"].to_pylist()) == (3, 4, [3, 4])


def test_read_one_topic(log: SqliteLog) -> None:
    for number in range(6):
        log.append("even" if number % 2 == 0 else "odd", table(number))
    assert [s.first for s in log.read({0: 1}, topics=["odd"])] == [2, 4, 6]
    assert log.read({}, topics=["none"]) == []


def test_read_ends_with_the_segment_that_reaches_the_wish(log: SqliteLog) -> None:
    for _ in range(4):
        log.append("a", table(1, 2, 3))
    assert [s.last for s in log.read({}, rows=4)] == [3, 6]


def test_no_rows_are_no_segment(log: SqliteLog) -> None:
    assert log.append("a", table(), ("p", 7)) == {0: 0}
    assert log.read({}) == []
    assert log.produced("p") == 7


def test_a_batch_of_a_producer_counts_once(log: SqliteLog) -> None:
    assert log.produced("boot") == -1
    assert log.append("a", table(1, 2), ("boot", 1)) == {0: 2}
    log.append("a", table(9))
    assert log.append("a", table(1, 2), ("boot", 1)) == {0: 2}
    assert log.append("a", table(1), ("boot", 0)) == {0: 2}
    assert log.produced("boot") == 1
    assert log.head() == {0: 3}


def test_generation_belongs_to_the_file(tmp_path: Path) -> None:
    first = SqliteLog(tmp_path / "a.db")
    assert SqliteLog(tmp_path / "a.db").generation == first.generation
    assert SqliteLog(tmp_path / "b.db").generation != first.generation


def test_positions_of_another_log_are_refused(log: SqliteLog) -> None:
    log.append("a", table(1))
    with pytest.raises(PositionError, match="offset 2 is beyond the head 1"):
        log.read({0: 2})
    with pytest.raises(PositionError, match="partition 0 only"):
        log.read({1: 0})


def test_backend_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"log_backend='sqlit' .*did you mean 'sqlite'"):
        open_log(Settings(home=tmp_path, log_backend="sqlit"))


def test_close_ends_all_threads_connections(log: SqliteLog) -> None:
    thread = threading.Thread(target=lambda: log.append("a", table(1)))
    thread.start()
    thread.join()
    log.close()
    assert log.head() == {0: 1}


def test_threads_append_at_once(log: SqliteLog) -> None:
    def work(name: int) -> None:
        for number in range(20):
            log.append("t", table(name * 100 + number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [v for s in log.read({}) for v in s.table["v"].to_pylist()]
    assert sorted(values) == [name * 100 + number for name in range(4) for number in range(20)]


def test_killed_producers_lose_nothing_and_double_nothing(log: SqliteLog, start, eventually) -> None:
    last = 150
    running = [start(APPENDER, log.path, f"p{i}", last) for i in range(3)]
    for victim in (0, 1):
        eventually(lambda name=f"p{victim}", wish=20 * (victim + 1): log.produced(name) > wish)
        running[victim].kill()
        running[victim].wait()
        running.append(start(APPENDER, log.path, f"p{victim}", last))
    for process in running[2:]:
        assert process.wait(60) == 0, process.stderr.read()
    rows = pa.concat_tables([s.table for s in log.read({}, rows=10**6)])
    for name in ("p0", "p1", "p2"):
        numbers = rows.filter(pa.compute.equal(rows["producer"], name))["number"].to_pylist()
        assert numbers == list(range(last + 1))
    assert log.head() == {0: 3 * (last + 1)}


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))),
    limit=st.integers(1, 7),
)
def test_any_pieces_read_what_was_appended(batches: list[tuple[str, list[int]]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "events.db")
        for topic, values in batches:
            log.append(topic, table(*values))
        expected = [(topic, value) for topic, values in batches for value in values]
        position, seen = {0: 0}, []
        while segments := log.read(position, rows=limit):
            for segment in segments:
                assert segment.first == len(seen) + 1
                seen += [(segment.topic, value) for value in segment.table["v"].to_pylist()]
            position = {0: segments[-1].last}
        assert seen == expected
        log.close()


def test_large_segments_are_compressed_and_come_back(log: SqliteLog) -> None:
    rows = pa.table({"record": [f'{{"trace": "{i}", "features": [0.0, 0.0, 0.0, 0.0]}}' for i in range(2000)]})
    log.append("journal", rows)
    [segment] = log.read({})
    assert segment.table.equals(rows)
    assert log.extents()[0].size < rows.nbytes / 2
