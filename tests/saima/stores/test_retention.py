from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import PositionError, StoreError
from saima.stores.log import SqliteLog
from saima.stores.retention import Extent, decide, retain


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "events.db")
    for _ in range(5):
        log.append("t", pa.table({"v": [1, 2]}))
    return log


def test_trim_cuts_whole_segments_and_keeps_offsets(log: SqliteLog) -> None:
    assert log.tail() == {0: 0}
    assert log.trim(6) == 4
    assert log.tail() == {0: 4}
    assert [s.first for s in log.read({0: 4})] == [5, 7, 9]
    assert log.append("t", pa.table({"v": [1]})) == {0: 11}
    with pytest.raises(PositionError, match="offset 3 is below the tail 4"):
        log.read({0: 3})


def test_trim_of_everything_keeps_the_head(log: SqliteLog) -> None:
    assert log.trim(11) == 10
    assert log.head() == {0: 10}
    assert log.read({0: 10}) == []


def test_trim_refuses_what_a_consumer_has_not_read(log: SqliteLog) -> None:
    log.register("worker/0", {0: 4})
    with pytest.raises(StoreError, match=r"before offset 7: consumer 'worker/0' has read up to 4 only"):
        log.trim(7)
    assert log.trim(5) == 4
    with pytest.raises(StoreError, match="consumer 'report'"):
        log.trim(5, {"report": {0: 2}})
    log.register("worker/0", {0: 10})
    assert log.consumers() == {"worker/0": {0: 10}}
    assert log.trim(7) == 6


def test_trimmed_pages_leave_the_file(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "events.db")
    for _ in range(20):
        log.append("t", pa.table({"v": [i * 7919 % 104729 for i in range(5000)]}))
    log.trim(log.head()[0])
    log.close()
    whole = log.path.stat().st_size
    assert whole < 200_000


def test_retain_by_size_stops_at_the_consumer_and_says_so(log: SqliteLog) -> None:
    log.register("slow", {0: 2})
    cut = retain(log, now=2**50, age=1)
    assert (cut.before, cut.held) == (3, ("slow",))
    assert log.tail() == {0: 2}


@given(
    sizes=st.lists(st.integers(0, 10), max_size=8),
    now=st.integers(0, 20),
    age=st.none() | st.integers(0, 20),
    size=st.none() | st.integers(0, 60),
    read=st.lists(st.integers(0, 10), max_size=3),
)
def test_retention_never_cuts_the_unread(
    sizes: list[int], now: int, age: int | None, size: int | None, read: list[int]
) -> None:
    extents = [Extent(i + 1, i, s) for i, s in enumerate(sizes)]
    consumers = {f"c{i}": {0: offset} for i, offset in enumerate(read)}
    cut = decide(extents, consumers, now=now, age=age, size=size)
    assert all(offset >= cut.before - 1 for offset in read)
    free = decide(extents, {}, now=now, age=age, size=size)
    kept = [e for e in extents if e.last >= free.before]
    assert size is None or sum(e.size for e in kept) <= size
    assert age is None or all(e.appended >= now - age for e in kept)
    assert cut.before <= free.before
