"""Caches of a table: what they may answer, what they must read again, what is counted, and what a failure costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saima.errors import StoreError
from saima.features.caches.rows import Copy, Fetched, Lru
from saima.features.caches.tables import Caches
from saima.features.lookups import RowRead, RowSource, Versions, add, pack
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore

SOURCE = RowSource("priced", ("item_id",), "time", None, (("item_id", "string"), ("price", "float64")), 0)
TTL = 60_000


def row(price: float, time: int = 1000) -> bytes:
    """Packed versions of a key with one row."""
    held: Versions = add(SOURCE, None, time, [(time, time, 0, 1, f'[{time},0,"i",{price}]')])
    return pack(held)


class Shop:
    """An online store with one table, a look-up by key, and a switch that takes the table down."""

    def __init__(self, store: OnlineStore) -> None:
        self.store = store
        self.down = False
        self.reads = 0
        self.caches = Caches(self)

    @contextmanager
    def read(self) -> Iterator[Any]:
        with self.store.read() as read:
            yield Watched(read, self)

    def write(self) -> Any:
        return self.store.write()

    def close(self) -> None:
        self.store.close()

    def put(self, **prices: float | None) -> None:
        with self.write() as txn:
            txn.put_many(SOURCE.table, [(key, None if p is None else row(p)) for key, p in prices.items()])

    def cache(self, query: str, ttl: int = 0, size: int = 100) -> Any:
        return self.caches.of(RowRead("price", SOURCE, query, None, ttl, size))

    def fetch(self, cache: Any, *keys: str, q: int = 0) -> Fetched:
        with self.read() as read:
            found: Fetched = cache.fetch(read, keys, q)
            return found


class Watched:
    """A read transaction that counts keys read and fails while the shop is down."""

    def __init__(self, read: Any, shop: Shop) -> None:
        self._read, self._shop = read, shop

    def _table(self) -> None:
        if self._shop.down:
            raise StoreError("the table is down")

    def get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        self._table()
        self._shop.reads += len(keys)
        found: list[bytes | None] = self._read.get_many(table, keys)
        return found

    def scan(self, table: str) -> list[tuple[str, bytes]]:
        self._table()
        found: list[tuple[str, bytes]] = self._read.scan(table)
        return found

    def generation(self, table: str) -> int:
        self._table()
        return int(self._read.generation(table))

    def position(self) -> dict[int, int]:
        return dict(self._read.position())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = open_online(0, Settings(home=tmp_path), writer=True)
    made = Shop(store)
    made.put(a=1.0, b=2.0)
    yield made
    assert made.caches.settle(10)
    store.close()


def prices(found: Fetched) -> dict[str, float | None]:
    return {key: copy.opened[1][0][4][3] if copy.opened else None for key, copy in found.copies.items()}


def test_sync_without_a_ttl_is_exact_and_reads_an_unchanged_table_once(shop: Shop) -> None:
    cache = shop.cache("sync")
    assert prices(shop.fetch(cache, "a", "b", "none")) == {"a": 1.0, "b": 2.0, "none": None}
    again = shop.fetch(cache, "a", "b", "none", q=10**12)
    assert (again.results, shop.reads) == ({"hit": 3}, 3)
    opened = again.copies["a"].opened
    shop.put(b=3.0)
    changed = shop.fetch(cache, "a", "b", "none")
    assert prices(changed) == {"a": 1.0, "b": 3.0, "none": None}
    assert changed.results == {"miss": 3}
    assert changed.copies["a"].opened is opened
    shop.put(a=None)
    assert prices(shop.fetch(cache, "a")) == {"a": None}
    assert not changed.degraded


def test_sync_with_a_ttl_answers_from_its_copy_until_the_ttl_on_request_time(shop: Shop) -> None:
    cache = shop.cache("sync", ttl=TTL)
    shop.fetch(cache, "a", q=1_000_000)
    shop.put(a=9.0)
    for q in (1_000_000, 1_000_000 + TTL, 1_000_000 - TTL):
        assert prices(shop.fetch(cache, "a", q=q)) == {"a": 1.0}
    late = shop.fetch(cache, "a", q=1_000_001 + TTL)
    assert (prices(late), late.results, late.degraded) == ({"a": 9.0}, {"miss": 1}, False)


def test_a_request_far_ahead_of_time_cannot_make_a_copy_last(shop: Shop) -> None:
    cache = shop.cache("sync", ttl=TTL)
    shop.fetch(cache, "a", q=10**15)
    shop.put(a=9.0)
    assert prices(shop.fetch(cache, "a", q=1_000_000)) == {"a": 9.0}


def test_the_least_recently_used_key_goes_first(shop: Shop) -> None:
    shop.put(**{f"k{i}": float(i) for i in range(10)})
    cache = shop.cache("sync", size=3)
    for key in ("k0", "k1", "k2", "k0", "k3"):
        shop.fetch(cache, key)
    assert cache.entries == 3
    assert shop.fetch(cache, "k0", "k2", "k3").results == {"hit": 3}
    assert shop.fetch(cache, "k1").results == {"miss": 1}
    assert cache.bytes == 3 * len(row(1.0))


def test_a_request_of_more_keys_than_the_cache_holds_gets_them_all(shop: Shop) -> None:
    shop.put(**{f"k{i}": float(i) for i in range(10)})
    cache = shop.cache("sync", size=3)
    assert prices(shop.fetch(cache, *(f"k{i}" for i in range(10)))) == {f"k{i}": float(i) for i in range(10)}
    assert cache.entries == 3


def test_an_older_transaction_never_replaces_a_newer_copy() -> None:
    held = Lru(10)
    held.put_many({"a": Copy(b"new", None, 5, 0)})
    held.put_many({"a": Copy(b"old", None, 4, 0)})
    found = held.get_many(["a"])[0]
    assert found is not None
    assert found.data == b"new"


def test_async_misses_first_flagged_and_is_there_behind(shop: Shop) -> None:
    cache = shop.cache("async", ttl=TTL)
    first = shop.fetch(cache, "a", "none", q=5)
    assert (first.copies, first.degraded, first.results) == ({}, True, {"miss": 2})
    assert shop.caches.settle(10)
    second = shop.fetch(cache, "a", "none", q=6)
    assert (prices(second), second.degraded, second.results) == ({"a": 1.0, "none": None}, False, {"hit": 2})


def test_async_answers_with_what_is_there_and_says_when_it_is_too_old(shop: Shop) -> None:
    cache = shop.cache("async", ttl=TTL)
    shop.fetch(cache, "a", q=0)
    assert shop.caches.settle(10)
    shop.put(a=9.0)
    young = shop.fetch(cache, "a", q=TTL // 2 - 1)
    assert (prices(young), young.degraded) == ({"a": 1.0}, False)
    assert shop.caches.settle(10)
    assert prices(shop.fetch(cache, "a", q=TTL // 2 - 1)) == {"a": 1.0}  # nothing was read behind: it is young
    late = shop.fetch(cache, "a", q=TTL + 1)
    assert (prices(late), late.degraded, late.results) == ({"a": 1.0}, True, {"late": 1})
    assert shop.caches.settle(10)
    now = shop.fetch(cache, "a", q=TTL + 2)
    assert (prices(now), now.degraded, now.results) == ({"a": 9.0}, False, {"hit": 1})


def test_async_reads_again_before_a_copy_is_late(shop: Shop) -> None:
    cache = shop.cache("async", ttl=TTL)
    shop.fetch(cache, "a", q=0)
    assert shop.caches.settle(10)
    shop.put(a=9.0)
    for q in range(TTL // 2, 4 * TTL, TTL // 2):
        assert not shop.fetch(cache, "a", q=q).degraded
        assert shop.caches.settle(10)
    assert prices(shop.fetch(cache, "a", q=4 * TTL)) == {"a": 9.0}


def test_preload_is_exact_before_during_and_after_loading(shop: Shop) -> None:
    cache = shop.cache("preload")
    for price in (1.0, 5.0, 6.0, 7.0):
        shop.put(a=price)
        cache._rest = float("-inf")
        found = shop.fetch(cache, "a", "none")
        assert (prices(found), found.degraded, found.results) == ({"a": price, "none": None}, False, {"miss": 2})
        assert shop.caches.settle(10)
        reads = shop.reads
        found = shop.fetch(cache, "a", "none")
        assert (prices(found), found.results, shop.reads) == ({"a": price, "none": None}, {"hit": 2}, reads)
    assert (cache.entries, cache.bytes) == (2, len(row(1.0)) * 2)


def test_a_preloaded_table_rests_after_it_was_loaded(shop: Shop) -> None:
    cache = shop.cache("preload")
    shop.fetch(cache, "a")
    assert shop.caches.settle(10)
    cache._rest = float("inf")
    shop.put(a=4.0)
    for _ in range(3):
        assert shop.fetch(cache, "a").results == {"miss": 1}
        assert shop.caches.settle(10)
    assert prices(shop.fetch(cache, "a")) == {"a": 4.0}


@pytest.mark.parametrize("query", ["sync", "async", "preload"])
def test_a_table_that_is_down_is_missing_and_comes_back(shop: Shop, query: str) -> None:
    cache = shop.cache(query, ttl=TTL)
    shop.down = True
    found = shop.fetch(cache, "a", q=0)
    assert found.degraded
    assert found.copies == {}
    assert shop.caches.settle(10)
    if query == "async":
        assert shop.caches.refresher.failures == 1
        assert "down" in shop.caches.refresher.error
    else:
        assert (found.results, found.error) == ({"failed": 1}, "the table is down")
    shop.down = False
    shop.fetch(cache, "a", q=1)
    assert shop.caches.settle(10)
    back = shop.fetch(cache, "a", q=2)
    assert (prices(back), back.degraded, back.error) == ({"a": 1.0}, False, "")
    assert shop.caches.refresher.error == ""


def test_copies_within_their_ttl_answer_while_the_table_is_down(shop: Shop) -> None:
    cache = shop.cache("sync", ttl=TTL)
    shop.fetch(cache, "a", q=0)
    shop.down = True
    found = shop.fetch(cache, "a", q=TTL)
    assert (prices(found), found.degraded) == ({"a": 1.0}, False)
    found = shop.fetch(cache, "a", "b", q=TTL)
    assert (prices(found), found.degraded, found.results) == ({"a": 1.0}, True, {"hit": 1, "failed": 1})
    assert shop.fetch(cache, "a", q=TTL + 1).copies == {}


@pytest.mark.parametrize("query", ["sync", "async", "preload"])
def test_a_damaged_entity_costs_its_own_key_only_and_heals(shop: Shop, query: str) -> None:
    cache = shop.cache(query, ttl=TTL)
    with shop.write() as txn:
        txn.put_many(SOURCE.table, [("b", b"\x00{")])
    shop.fetch(cache, "a", "b")
    assert shop.caches.settle(10)
    found = shop.fetch(cache, "a", "b")
    assert (prices(found), found.degraded) == ({"a": 1.0}, True)
    assert "key 'b'" in (found.error or shop.caches.refresher.error)
    assert shop.caches.settle(10)
    shop.put(b=3.0)
    shop.fetch(cache, "a", "b")
    assert shop.caches.settle(10)
    found = shop.fetch(cache, "a", "b")
    assert (prices(found), found.degraded) == ({"a": 1.0, "b": 3.0}, False)


def test_a_table_that_was_never_built_is_degraded(tmp_path: Path) -> None:
    store = open_online(0, Settings(home=tmp_path), writer=True)
    empty = Shop(store)
    for query in ("sync", "async", "preload"):
        cache = empty.cache(query, ttl=TTL)
        for _ in range(2):
            assert empty.fetch(cache, "a").degraded
            assert empty.caches.settle(10)
    empty.put(a=1.0)
    for query in ("sync", "async", "preload"):
        empty.fetch(empty.cache(query, ttl=TTL), "a")
    store.close()


def test_equal_declarations_share_a_cache_while_someone_reads_it(shop: Shop) -> None:
    first = shop.cache("sync", ttl=5)
    shop.fetch(first, "a")
    assert shop.cache("sync", ttl=5) is first
    assert shop.cache("sync", ttl=6) is not first
    del first
    assert shop.cache("sync", ttl=5).entries == 0


def test_counts_stay_and_sizes_follow_the_cache(shop: Shop) -> None:
    cache = shop.cache("sync")
    shop.caches.register("ctr", "price", cache)
    found = shop.fetch(cache, "a", "b")
    shop.caches.count("ctr", "price", found.results)
    shop.caches.count("ctr", "price", {"failed": 1}, "broken")
    (numbers,) = shop.caches.numbers()
    size = len(row(1.0)) * 2
    assert numbers == {
        "algorithm": "ctr", "table": "price", "results": {"miss": 2, "failed": 1}, "entries": 2, "bytes": size,
        "error": "broken",
    }  # fmt: skip
    shop.caches.count("ctr", "price", {"hit": 1})
    del cache
    (numbers,) = shop.caches.numbers()
    assert (numbers["results"], numbers["entries"], numbers["error"]) == ({"miss": 2, "failed": 1, "hit": 1}, 0, "")


def test_threads_share_caches_while_the_table_moves(shop: Shop) -> None:
    """Prices only rise, so a thread that keeps its transactions in order never sees one fall without a ttl."""
    caches = [shop.cache("sync", size=1), shop.cache("preload")]
    stop, wrong = threading.Event(), []

    def ask(cache: Any) -> None:
        last = {"a": 0.0, "b": 0.0}
        try:
            while not stop.is_set():
                for key, price in prices(shop.fetch(cache, "a", "b")).items():
                    if price is None or price < last[key]:
                        wrong.append((key, last[key], price))
                    last[key] = price or 0.0
        except Exception as error:  # noqa: BLE001 - the test shows it
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(cache,)) for cache in caches for _ in range(2)]
    for thread in threads:
        thread.start()
    for price in range(10, 200):
        shop.put(a=float(price), b=float(price))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
