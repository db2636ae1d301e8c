"""The feature service over a real online store: values, age, version, source; what is refused; one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saima.errors import RequestError, StoreError
from saima.features import Algorithm, load
from saima.features.extractor import Extractor
from saima.features.lookups import row_sources
from saima.features.windows import groups
from saima.host.access import OPERATOR, Caller
from saima.host.features import MOST, FeatureService, Question, parse_query
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from tests.saima.host.features import NOW, SECOND, fill, write_shop

KEYS = {"item_id": "hat", "visitor": "v", "channel": "web", "since": str(NOW - 2500), "likes": '["red"]'}


@pytest.fixture
def shop(tmp_path: Path) -> Algorithm:
    return write_shop(tmp_path / "algorithms")


@pytest.fixture
def store(tmp_path: Path, shop: Algorithm) -> Iterator[OnlineStore]:
    made = open_online(0, Settings(home=tmp_path, fsync=False), writer=True)
    fill(made, shop)
    yield made
    made.close()


def get(
    store: OnlineStore,
    algorithms: list[Algorithm],
    *names: str,
    keys: Mapping[str, str] | None = None,
    time: int | None = None,
    caller: Caller = OPERATOR,
    timed: bool = True,
) -> dict[str, Any]:
    known = {algorithm.name: algorithm for algorithm in algorithms}
    question = Question(names, KEYS if keys is None else keys, time, caller)
    return FeatureService(store).answer(question, known, NOW, known if timed else ())


def test_columns_measures_and_features(store: OnlineStore, shop: Algorithm) -> None:
    names = ("price.price", "views.mean_1h", "pair.count_1h", "popularity", "views.last_k_1d", "spread.histogram_1d")
    answer = get(store, [shop], *names)
    assert (answer["time"], answer["position"]) == (NOW, {"0": 5})
    found = {one["name"]: one for one in answer["features"]}
    assert list(found) == [f"shop.{name}" for name in names]
    values = {name.removeprefix("shop."): one["value"] for name, one in found.items()}
    assert values == {
        "price.price": 4.25,
        "views.mean_1h": 9.5,
        "pair.count_1h": 1,
        "popularity": 0.5,
        "views.last_k_1d": [12, 7, 5],
        "spread.histogram_1d": {"hat": 2},
    }
    assert {name: (one["kind"], one["age_ms"], one["source"]) for name, one in found.items()} == {
        "shop.price.price": ("table", 300 * SECOND, ["priced"]),
        "shop.views.mean_1h": ("window", 600 * SECOND, ["viewed"]),
        "shop.pair.count_1h": ("window", 600 * SECOND, ["viewed"]),
        "shop.popularity": ("feature", 600 * SECOND, ["viewed"]),
        "shop.views.last_k_1d": ("window", 600 * SECOND, ["viewed"]),
        "shop.spread.histogram_1d": ("window", 600 * SECOND, ["viewed"]),
    }
    tables = {group.table for group in groups(shop.declaration)}
    for one in found.values():
        assert one["version"]["plan"] == shop.plan.hash
        assert {tile for held in one["version"]["tiles"].values() for tile in held} <= tables
        assert one["degraded"] == []
    assert found["shop.price.price"]["version"]["rows"] == {"price": [NOW - 300 * SECOND, None, 4]}
    assert list(found["shop.popularity"]["version"]["tiles"]) == ["views"]


def test_a_feature_of_several_reads_is_as_old_as_the_newest(store: OnlineStore, shop: Algorithm) -> None:
    (best, alone, member) = get(store, [shop], "best", "lasting", "newcomer")["features"]
    assert (best["value"], best["age_ms"], best["source"]) == (0.5, 300 * SECOND, ["priced", "viewed"])
    assert (alone["value"], alone["age_ms"], alone["source"]) == (2.5, None, ["request"])
    assert (member["value"], member["age_ms"]) == (1, 86_400 * SECOND)  # async for predictions; read at once here


def test_values_are_those_of_serving(store: OnlineStore, shop: Algorithm) -> None:
    request = {"channel": "web", "since": NOW - 2500}
    user = {"visitor": "v", "likes": ["red"]}
    extractor = Extractor(shop, store)
    for _ in range(2):  # what is preloaded or async comes behind the first
        extraction = extractor.extract(request, user, [{"item_id": "hat"}], NOW)
        assert extractor.caches is not None
        assert extractor.caches.settle(10)
    served = {name: values[0] for name, values in extraction.plain([0]).items()}
    found = get(store, [shop], *served)["features"]
    assert {one["name"].removeprefix("shop."): one["value"] for one in found} == served


@pytest.mark.parametrize("name", ["flight_delay", "fashion_ranking"])
def test_every_name_of_the_algorithms_is_answered(store: OnlineStore, name: str) -> None:
    algorithm = load(name)
    request = algorithm.declaration.request
    items = request.items.fields if request.items else {}
    types = {**request.fields, **request.user, **items}
    keys = {field: {"string": "a"}.get(dtype, "[1]" if "<" in dtype else "1") for field, dtype in types.items()}
    found = get(store, [algorithm], *algorithm.plan.features, keys=keys)["features"]
    assert [one["name"] for one in found] == [f"{name}.{feature}" for feature in algorithm.plan.features]
    warming = {*algorithm.declaration.tables, *algorithm.declaration.aggregates}
    assert {one for document in found for one in document["degraded"]} <= warming


def test_an_earlier_moment(store: OnlineStore, shop: Algorithm) -> None:
    time = NOW - 15 * 60 * SECOND
    price, count = get(store, [shop], "price.label", "views.count_1h", time=time)["features"]
    assert (price["value"], price["age_ms"], price["version"]["rows"]) == (None, None, {"price": None})
    assert (count["value"], count["age_ms"]) == (2, 25 * 60 * SECOND)
    with pytest.raises(RequestError, match="does not let a caller set the time"):
        get(store, [shop], "views.count_1h", time=time, timed=False)


def test_a_key_without_events_has_no_age(store: OnlineStore, shop: Algorithm) -> None:
    price, count = get(store, [shop], "price.label", "views.count_1h", keys={"item_id": "shoe"})["features"]
    assert (price["value"], price["age_ms"], price["degraded"]) == (None, None, [])
    assert (count["value"], count["age_ms"], count["degraded"]) == (0, None, [])


@pytest.mark.parametrize(
    ("name", "keys", "field", "status", "text"),
    [
        ("popularty", {}, "name", 404, "did you mean 'popularity'"),
        ("shop.price.prise", {}, "name", 404, "did you mean 'shop.price.price'"),
        ("views.count_2h", {}, "name", 404, "did you mean 'views.count_1h'"),
        ("popularity", {}, "key.item_id", 422, "is missing: 'popularity' needs it"),
        ("price.label", {"item_id": "hat", "chanel": "web"}, "key.chanel", 422, "did you mean 'channel'"),
        ("lasting", {"since": "soon"}, "key.since", 422, "must be milliseconds UTC"),
        ("liked", {"item_id": "hat", "likes": "[1]"}, "key.likes", 422, "must be text, not 1"),
    ],
)
def test_what_is_refused(
    store: OnlineStore, shop: Algorithm, name: str, keys: dict[str, str], field: str, status: int, text: str
) -> None:
    with pytest.raises(RequestError) as refused:
        get(store, [shop], name, keys=keys)
    assert (refused.value.field, refused.value.status) == (field, status)
    assert text in refused.value.message


def test_the_number_of_names_is_limited(store: OnlineStore, shop: Algorithm) -> None:
    for names in ((), ("popularity",) * (MOST + 1)):
        with pytest.raises(RequestError, match=f"ask for 1 to {MOST} names"):
            get(store, [shop], *names)


def test_a_name_of_two_algorithms_is_written_out(store: OnlineStore, shop: Algorithm, tmp_path: Path) -> None:
    folder = tmp_path / "algorithms" / "other"
    folder.mkdir()
    text = (tmp_path / "algorithms" / "shop" / "algorithm.yaml").read_text()
    (folder / "algorithm.yaml").write_text(text.replace("algorithm: shop", "algorithm: other"))
    both = [shop, load(folder)]
    with pytest.raises(RequestError, match=r"write 'shop\.best' or 'other\.best'"):
        get(store, both, "best")
    found = get(store, both, "other.best", "shop.best", "other.best")["features"]
    assert [one["name"] for one in found] == ["other.best", "shop.best"]
    only = Caller("one", ("features:other.*",))
    assert get(store, both, "best", caller=only)["features"][0]["name"] == "other.best"


def test_a_caller_reads_what_it_is_granted(store: OnlineStore, shop: Algorithm) -> None:
    caller = Caller("board", ("features:shop.views.*", "features:shop.best"))
    assert len(get(store, [shop], "views.mean_1h", "best", caller=caller)["features"]) == 2
    for name in ("popularity", "shop.popularity", "nothing"):
        with pytest.raises(RequestError) as refused:
            get(store, [shop], name, caller=caller)
        assert refused.value.status == 404
        assert "popularity'?" not in refused.value.message


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("name", "best"), ("origin", "JFK")], "origin"),
        ([("key.origin", "JFK"), ("key.origin", "LGA")], "key.origin"),
        ([("time", "now")], "time"),
    ],
)
def test_a_query_that_is_malformed(query: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_query(query, OPERATOR)
    assert refused.value.field == field


class Watched:
    """A store that counts its transactions, and during the first of them is written to; or is down."""

    def __init__(self, store: OnlineStore, table: str, down: bool = False) -> None:
        self._store, self._table, self._down = store, table, down
        self.begun = 0

    @contextmanager
    def read(self) -> Iterator[Any]:
        if self._down:
            raise StoreError("the store is down")
        self.begun += 1
        with self._store.read() as read:
            with self._store.write() as write:
                write.put_many(self._table, [("hat", None)])
                write.set_position({0: 6})
            yield read

    def write(self) -> Any:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def test_an_answer_is_one_transaction(store: OnlineStore, shop: Algorithm, tmp_path: Path) -> None:
    table = next(rows.table for rows in row_sources(shop.declaration) if rows.source == "priced")
    watched = Watched(store, table)
    answer = get(watched, [shop], "price.label", "best", "views.count_1h")
    assert [one["value"] for one in answer["features"]] == ["red", 0.5, 2]
    assert (watched.begun, answer["position"]) == (1, {"0": 5})


def test_a_store_that_is_down_is_named(store: OnlineStore, shop: Algorithm) -> None:
    answer = get(Watched(store, "", down=True), [shop], "price.label", "best", "lasting")
    assert [(one["value"], one["age_ms"]) for one in answer["features"]] == [(None, None), (0.0, None), (2.5, None)]
    assert [sorted(one["degraded"]) for one in answer["features"]] == [["price"], ["price", "views"], []]
