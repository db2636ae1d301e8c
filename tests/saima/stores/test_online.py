from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.errors import StoreError
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.online import LmdbStore

HOLDER = """
import sys, time
from pathlib import Path
from saima.stores.online import LmdbStore
store = LmdbStore(Path(sys.argv[1]), writer=sys.argv[2] == "writer")
with (store.write() if sys.argv[2] == "writer" else store.read()) as txn:
    print(txn.position().get(0), flush=True)
    if sys.argv[2] == "reader":
        time.sleep(600)
time.sleep(600)
"""

COUNTER = """
import sys
from pathlib import Path
from saima.stores.online import LmdbStore
store = LmdbStore(Path(sys.argv[1]), writer=True)
while True:
    with store.write() as txn:
        number = txn.position().get(0, 0) + 1
        for table in ("a", "b"):
            txn.put_many(table, [(f"k{i}", str(number).encode() * 50) for i in range(200)])
        txn.set_position({0: number})
    print(number, flush=True)
"""

FULL = """
import resource, sys
from pathlib import Path
from saima.errors import StoreError
from saima.stores.online import LmdbStore
store = LmdbStore(Path(sys.argv[1]), writer=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
number = 0
try:
    while True:
        with store.write() as txn:
            txn.put_many("t", [(f"{number}", b"x" * 50_000)])
            txn.set_position({0: number})
        print(number, flush=True)
        number += 1
except StoreError as error:
    print("StoreError", error, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online" / "shard-0"


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStore]:
    store = LmdbStore(path, writer=True, sync=False)
    yield store
    store.close()


def test_values_come_back_in_the_order_of_the_keys(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_many("t", [("a", b"1"), ("b", b""), ("c", b"3")])
        txn.put_many("t", [("a", None), ("never", None)])
        assert txn.get_many("t", ["c", "a"]) == [b"3", None]
    with store.read() as txn:
        assert txn.get_many("t", ["c", "a", "b", "c"]) == [b"3", None, b"", b"3"]
        assert txn.scan("t") == [("b", b""), ("c", b"3")]


def test_tables_do_not_mix(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_many("a", [("bc", b"1"), ("", b"2")])
        txn.put_many("ab", [("c", b"3")])
    with store.read() as txn:
        assert txn.scan("a") == [("", b"2"), ("bc", b"1")]
        assert txn.scan("ab") == [("c", b"3")]
        assert txn.scan("position") == txn.scan("generation") == []


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 500])
def test_names_that_are_none(store: LmdbStore, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a table"), store.write() as txn:
        txn.put_many(name, [("k", b"v")])


def test_an_exception_aborts(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_many("t", [("k", b"old")])
        txn.set_position({0: 1})

    def fail() -> None:
        with store.write() as txn:
            txn.put_many("t", [("k", b"new")])
            txn.set_position({0: 2})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as txn:
        assert txn.get_many("t", ["k"]) == [b"old"]
        assert txn.position() == {0: 1}
        assert txn.generation("t") == 1


def test_a_reader_sees_one_commit(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_many("t", [("k", b"1")])
        txn.set_position({0: 1})
    with store.read() as before:
        with store.write() as txn:
            txn.put_many("t", [("k", b"2")])
            txn.set_position({0: 2})
        assert (before.get_many("t", ["k"]), before.position(), before.generation("t")) == ([b"1"], {0: 1}, 1)
    with store.read() as after:
        assert (after.get_many("t", ["k"]), after.position(), after.generation("t")) == ([b"2"], {0: 2}, 2)


def test_a_position_is_its_readers_own(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.set_position({0: 7})
    for _ in range(2):
        with store.read() as read:
            found = read.position()
        assert found == {0: 7}
        found[0] = 8


def test_generation_counts_commits_that_change_a_table(store: LmdbStore) -> None:
    for _ in range(2):
        with store.write() as txn:
            txn.put_many("t", [("a", b"1")])
            txn.put_many("t", [("b", b"1")])
            txn.put_many("u", [("absent", None)])
    with store.write() as txn:
        assert txn.generation("t") == 2
        txn.clear("t")
        assert txn.generation("t") == 3
    with store.read() as txn:
        assert (txn.generation("t"), txn.generation("u"), txn.scan("t")) == (3, 0, [])


def test_a_table_is_made_once_and_empty(store: LmdbStore) -> None:
    for _ in range(2):
        with store.write() as txn:
            txn.make("t")
            assert txn.generation("t") == 1
    with store.read() as txn:
        assert (txn.generation("t"), txn.generation("u"), txn.scan("t")) == (1, 0, [])


def test_a_reader_may_be_made_before_the_store(tmp_path: Path) -> None:
    chosen = Settings(home=tmp_path, fsync=False)
    reader = open_online(0, chosen)
    with pytest.raises(StoreError, match=r"shard-0 does not exist yet; start `saima worker`"):
        reader.read()
    writer = open_online(0, chosen, writer=True)
    with writer.write() as txn:
        txn.put_many("t", [("k", b"v")])
    with reader.read() as seen:
        assert seen.get_many("t", ["k"]) == [b"v"]
    with pytest.raises(StoreError, match="opened for reading"), reader.write():
        pass
    writer.close()
    with reader.read() as seen:
        assert seen.get_many("t", ["k"]) == [b"v"]
    reader.close()


def test_a_second_writer_is_told_who_holds_the_shard(store: LmdbStore, path: Path) -> None:
    with pytest.raises(StoreError, match=f"already has a writer, process {os.getpid()}"):
        LmdbStore(path, writer=True)
    store.close()
    LmdbStore(path, writer=True).close()


def test_a_killed_writer_frees_the_shard(path: Path, start) -> None:
    holder = start(HOLDER, path, "writer")
    assert holder.stdout.readline() == "None\n"
    with pytest.raises(StoreError, match=f"already has a writer, process {holder.pid}"):
        LmdbStore(path, writer=True)
    holder.kill()
    holder.wait()
    LmdbStore(path, writer=True).close()


def test_a_writer_killed_anywhere_leaves_a_whole_commit(path: Path, start) -> None:
    acknowledged = 0
    for commits in (3, 9, 5):
        process = start(COUNTER, path)
        for _ in range(commits):
            acknowledged = int(process.stdout.readline())
        process.kill()
        process.wait()
        reader = LmdbStore(path)
        with reader.read() as txn:
            number = txn.position()[0]
            values = {value for table in ("a", "b") for _, value in txn.scan(table)}
            assert txn.generation("a") == txn.generation("b") == number
        reader.close()
        assert number >= acknowledged
        assert values == {str(number).encode() * 50}


def test_places_of_killed_readers_are_freed(store: LmdbStore, path: Path, start) -> None:
    with store.write() as txn:
        txn.set_position({0: 1})
    reader = start(HOLDER, path, "reader")
    assert reader.stdout.readline() == "1\n"
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    store.close()
    again = LmdbStore(path, writer=True, sync=False)
    for number in range(100):  # a pinned page would make the file grow with every commit
        with again.write() as txn:
            txn.put_many("t", [("k", bytes([number]) * 100_000)])
    again.close()
    assert (path / "data.mdb").stat().st_size < 2_000_000


def test_a_fork_opens_its_own(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_many("t", [("k", b"v")])
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def child() -> None:
        try:
            with store.read() as txn:
                queue.put(txn.get_many("t", ["k"]))
        except StoreError as error:
            queue.put(str(error))

    process = context.Process(target=child)
    process.start()
    process.join(30)
    assert queue.get() == [b"v"]
    with store.read() as txn:
        assert txn.get_many("t", ["k"]) == [b"v"]


def test_a_lost_data_file(store: LmdbStore, path: Path) -> None:
    store.close()
    (path / "data.mdb").unlink()
    for writer in (False, True):
        with pytest.raises(StoreError, match=r"has lost its file data.mdb; run `saima rebuild`"):
            LmdbStore(path, writer=writer).read()


def test_a_truncated_data_file(store: LmdbStore, path: Path) -> None:
    with store.write() as txn:
        txn.put_many("t", [(str(i), b"x" * 3000) for i in range(100)])
    store.close()
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(16384)
    with pytest.raises(StoreError, match=r"is truncated: data.mdb has 16384 of at least \d+ bytes"):
        LmdbStore(path).read()


def test_a_data_file_of_another_kind(store: LmdbStore, path: Path) -> None:
    store.close()
    (path / "data.mdb").write_bytes(b"no database" * 5000)
    with pytest.raises(StoreError, match=r"damaged or no LMDB file .*saima rebuild"):
        LmdbStore(path, writer=True)


def test_no_room_is_said_and_keeps_the_last_commit(path: Path, start) -> None:
    output, errors = start(FULL, path).communicate(timeout=60)
    *numbers, message = output.splitlines()
    assert message.startswith("StoreError cannot write the online store"), errors
    store = LmdbStore(path)
    with store.read() as txn:
        assert txn.position() == {0: int(numbers[-1])}
        assert len(txn.scan("t")) == len(numbers)
    store.close()


KEYS = st.sampled_from(["", "a", "b", "é", "a\0", "x" * 509, "x" * 510, "y" * 600, "y" * 601]) | st.text(max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["t", "t/u"]), KEYS, st.none() | st.binary(max_size=5)), max_size=6))
)
def test_it_is_a_dictionary(commits: list[list[tuple[str, str, bytes | None]]]) -> None:
    model: dict[tuple[str, str], bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbStore(Path(folder), writer=True, sync=False)
        for commit in commits:
            with store.write() as txn:
                for table, key, value in commit:
                    txn.put_many(table, [(key, value)])
                    if value is None:
                        model.pop((table, key), None)
                    else:
                        model[table, key] = value
        with store.read() as txn:
            for table in ("t", "t/u"):
                expected = {key: value for (name, key), value in model.items() if name == table}
                assert dict(txn.scan(table)) == expected
                assert txn.get_many(table, list(expected)) == list(expected.values())
        store.close()


def test_a_store_that_is_closed_under_a_reader_is_unmapped_after_it(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, writer=True, sync=False)
    with store.write() as write:
        write.put_many("t", [(str(i), b"x" * 1000) for i in range(1000)])
    with store.read() as read:
        store.close()
        assert len(read.scan("t")) == 1000
    with pytest.raises(StoreError, match="closed"):
        store.read()
    with LmdbStore(tmp_path).read() as read:
        assert len(read.scan("t")) == 1000
