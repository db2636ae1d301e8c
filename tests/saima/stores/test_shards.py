"""Owners of keys, and the stores of several shards read as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import StoreError
from saima.settings import Settings
from saima.stores import open_log, open_online, open_reader
from saima.stores.online import LmdbStore
from saima.stores.shards import ShardedStore, Share, former, owner, owners, positions_of

KEYS = st.lists(st.one_of(st.none(), st.text(max_size=6)), max_size=40)


@given(keys=KEYS, shards=st.integers(1, 5))
def test_every_key_has_one_owner_and_a_column_says_the_same_as_a_key(keys: list[str | None], shards: int) -> None:
    column = pl.Series("key", keys, dtype=pl.String)
    wanted = [0 if key is None else owner(key, shards) for key in keys]
    assert owners(column, shards).tolist() == wanted
    shares = [Share(shard, shards) for shard in range(shards)]
    masks = [share.mask(column).to_list() for share in shares]
    for place, key in enumerate(keys):
        assert sum(mask[place] for mask in masks) == 1
        assert key is None or [share.owns(key) for share in shares] == [mask[place] for mask in masks]


def test_keys_are_spread() -> None:
    found = owners(pl.Series([f"key {number}" for number in range(30_000)]), 3)
    assert all(9_000 < int((found == shard).sum()) < 11_000 for shard in range(3))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, shards=2, fsync=False)


@pytest.fixture
def writers(settings: Settings) -> Iterator[list[LmdbStore]]:
    made = [open_online(shard, settings, writer=True) for shard in range(2)]
    yield made
    for store in made:
        store.close()


def put(store: LmdbStore, position: int, *keys: str, table: str = "t") -> None:
    with store.write() as txn:
        txn.make(table)
        txn.put_many(table, [(key, f"{key} at {position}".encode()) for key in keys])
        txn.set_position({0: position})


def test_each_key_is_read_from_its_owner(settings: Settings, writers: list[LmdbStore]) -> None:
    keys = [f"k{number}" for number in range(20)]
    for shard, store in enumerate(writers):
        put(store, 10 + shard, *(key for key in keys if owner(key, 2) == shard))
    put(writers[0], 12)
    reader = open_reader(settings)
    assert isinstance(reader, ShardedStore)
    with reader.read() as read:
        assert read.position() == {0: 11}
        assert positions_of(read) == [12, 11]
        wanted = [f"{key} at {10 + owner(key, 2)}".encode() for key in keys]
        assert read.get_many("t", ["nobody", *keys]) == [None, *wanted]
        assert [key for key, _ in read.scan("t")] == sorted(keys)
    with pytest.raises(StoreError, match="read only"):
        reader.write()
    reader.close()
    with writers[0].read() as alone:
        assert positions_of(alone) == []


def test_generations_are_equal_only_where_no_shard_has_changed(settings: Settings, writers: list[LmdbStore]) -> None:
    reader = open_reader(settings)

    def generation() -> int:
        with reader.read() as read:
            return read.generation("t")

    put(writers[0], 1, "a")
    assert generation() == 0, "the other shard has no such table yet"
    put(writers[1], 1, "a")
    seen = {generation()}
    for store, times in ((writers[0], 3), (writers[1], 2)):
        for _ in range(times):
            put(store, 2, "b")
            seen.add(generation())
    assert len(seen) == 6
    put(writers[0], 3, "c", table="another")
    assert generation() in seen
    reader.close()


def test_a_home_of_more_shards_is_not_read_nor_written_as_one_of_fewer(
    settings: Settings, writers: list[LmdbStore]
) -> None:
    put(writers[0], 1, "a")
    fewer = settings.model_copy(update={"shards": 1})
    with pytest.raises(StoreError, match=r"more shards than SAIMA_SHARDS=1.*saima rebuild"):
        open_reader(fewer)
    writers[0].close()
    with pytest.raises(StoreError, match=r"more shards than SAIMA_SHARDS=1.*saima rebuild"):
        open_online(0, fewer, writer=True)


def test_a_consumer_that_is_no_more_holds_nothing_up(settings: Settings) -> None:
    log = open_log(settings)
    log.append("t", pl.DataFrame({"a": [1, 2]}).to_arrow())
    log.register("worker/0", {0: 2})
    log.register("worker/1", {0: 0})
    with pytest.raises(StoreError, match="worker/1"):
        log.trim(3)
    assert former(log.consumers(), 1) == ["worker/1"]
    log.unregister("worker/1")
    log.unregister("worker/1")
    assert log.trim(3) == 2
    assert set(log.consumers()) == {"worker/0"}
    log.close()
