"""The example configuration becomes an algorithm that runs: tables, features, models of each kind."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features import Algorithm, load
from saima.features.extractor import Extractor
from saima.features.lookups import row_sources
from saima.features.types import parse_type
from saima.host.bundle import Bundle
from saima.importer import Imported, import_file
from saima.settings import Settings
from saima.stores import open_online
from saima.streams.tiles import RowEngine
from serving.imports import publish_models

HOUR = 3_600_000
TIME = 1_364_774_400_000 + 5 * HOUR


def write(place: Path, text: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "prediction.xml").write_text(text, encoding="utf-8")
    return place / "prediction.xml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imported")


@pytest.fixture(scope="module")
def imported(example: Any, home: Path) -> Imported:
    file = write(home, example.text)
    fuse = "ctr.probability + stay.seconds + gift.amount * gift.confidence"
    folder = home / "algorithms" / "live_rooms"
    return import_file(file, "live_rooms", folder, example.resources(home / "given", with_models=True), fuse)


@pytest.fixture(scope="module")
def algorithm(imported: Imported) -> Algorithm:
    return imported.algorithm


def test_it_says_what_the_configuration_says(imported: Imported, algorithm: Algorithm) -> None:
    declared = algorithm.declaration
    assert imported.notes == ()
    assert {name: feature.value for name, feature in declared.features.items()} == {
        "is_followed": "hit(item.item_id, u_act.followed_rooms)",
        "rt_counts": "slot(u_rt.counts, 1) if len(slot(u_rt.counts, 1)) > 0 else [0, 0, 0, 0]",
        "shown": "element(rt_counts, 0)",
        "clicked": "element(rt_counts, 1)",
        "shown_level": "bucketize(shown, buckets.shown)",
        "click_rate": "smooth(clicked, shown, 1.0, 500.0, 100.0)",
        "hour_of_day": "hour()",
        "room_tags": "lookup_id(room.tags, vocabularies.room_tags, oov=0) if len(lookup_id(room.tags, "
        "vocabularies.room_tags, oov=0)) > 0 else [0]",
    }
    assert {name: str(dtype) for name, dtype in algorithm.plan.features.items()} == {
        "is_followed": "int64", "rt_counts": "list<int64>", "shown": "int64", "clicked": "int64",
        "shown_level": "int64", "click_rate": "float32", "hour_of_day": "int64", "room_tags": "list<int64>",
    }  # fmt: skip
    room, counters = declared.tables["room"], declared.tables["u_rt"]
    assert (room.query, room.side, room.cache.ttl, room.cache.size) == ("async", "item", "1h", 500_000)  # type: ignore[union-attr]
    assert counters.source == "live_user_counters_1"
    assert declared.tables["promo"].query == "sync"
    assert declared.resources.buckets == {"shown": [1, 10, 100]}
    assert algorithm.vocabularies["room_tags"].ids == {"7": 1, "9": 5}
    ctr, stay, gift = declared.models.values()
    assert (ctr.file, ctr.takes, ctr.produced) == ("models/ctr", "tensors", ("probability",))
    assert set(ctr.inputs) == {"is_followed", "click_rate", "room_tags"}
    assert (stay.takes, stay.produced, stay.signature) == ("examples", ("seconds",), "serving_default")
    assert (gift.file, gift.produced) == ("models/gift.pb", ("amount", "confidence"))
    assert gift.inputs["shown_level"].shape == []  # type: ignore[index,union-attr]


def test_a_second_load_is_the_same(algorithm: Algorithm) -> None:
    again = load(algorithm.directory)
    assert (again.digest, again.plan.hash) == (algorithm.digest, algorithm.plan.hash)


def test_it_runs_from_rows_to_scores(algorithm: Algorithm, home: Path) -> None:
    settings = Settings(home=home / "home", algorithms=home / "algorithms")
    store = open_online(0, settings, writer=True)
    rows = {
        "live_user_actions": [{"user_id": "u", "followed_rooms": ["r1", "r3"]}],
        "live_user_counters_1": [{"user_id": "u", "counts": "9,9;40,3,1"}],
        "live_room_static": [{"item_id": "r1", "tags": [9, 8, 7]}, {"item_id": "r2", "tags": []}],
    }
    fill(store, algorithm, rows)
    items = [{"item_id": "r1"}, {"item_id": "r2"}, {"item_id": "r3"}]
    extractor = Extractor(algorithm, store)
    extractor.extract({}, {"user_id": "u"}, items, TIME)  # an async table is read behind; the first read misses it
    found = settled(lambda: extractor.extract({}, {"user_id": "u"}, items, TIME))
    store.close()
    rate = 100.0 * (3 + 1) / (40 + 500)
    assert found.features.to_dict(as_series=False) == {
        "is_followed": [1, 0, 1], "rt_counts": [[40, 3, 1]] * 3, "shown": [40] * 3, "clicked": [3] * 3,
        "shown_level": [2] * 3, "click_rate": pytest.approx([rate] * 3), "hour_of_day": [5] * 3,
        "room_tags": [[5, 0, 1], [0], [0]],
    }  # fmt: skip

    row = publish_models(algorithm, settings)
    bundle = Bundle.open(row.path)
    bundle.check_golden()
    scored = bundle.score(found.features)
    assert {name: values.tolist() for name, values in scored.outputs.items()} == {
        "ctr.probability": pytest.approx([0.5 + rate / 100 + 0.006, rate / 100, 0.5 + rate / 100]),
        "stay.seconds": pytest.approx([rate + 44] * 3), "gift.amount": [42.0] * 3, "gift.confidence": [21.0] * 3,
    }  # fmt: skip
    assert scored.score.tolist() == pytest.approx(
        (scored.outputs["ctr.probability"] + scored.outputs["stay.seconds"] + 42 * 21).tolist()
    )


def settled(ask: Any) -> Any:
    """The first answer that nothing is missing from."""
    until = time.monotonic() + 20
    while (found := ask()).degraded:
        assert time.monotonic() < until, found.degraded
        threading.Event().wait(0.01)
    return found


def fill(store: Any, algorithm: Algorithm, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Put rows into the online store, as the worker does from history."""
    frames = {}
    for topic, given in rows.items():
        fields = {name: parse_type(text).polars for name, text in algorithm.declaration.sources[topic].fields.items()}
        schema = {"time": pl.Int64, "seq": pl.Int64, "offset": pl.Int64, "late": pl.Boolean, **fields}
        event = {"time": TIME - HOUR, "seq": 0, "offset": 1, "late": False}
        frames[topic] = pl.DataFrame([{**event, **row} for row in given], schema=schema)
    with store.write() as txn:
        for table, key, data in RowEngine(row_sources(algorithm.declaration)).build_from_history(frames):
            txn.put_many(table, [(key, data)])
        txn.set_position({0: 1})


def test_nothing_is_written_over_or_left_behind(example: Any, imported: Imported, home: Path, tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match="live_rooms exists"):
        import_file(home / "prediction.xml", "live_rooms", imported.algorithm.directory, home / "given")
    with pytest.raises(SaimaError, match="give its folder by --resources"):
        import_file(home / "prediction.xml", "other", tmp_path / "other")
    assert not (tmp_path / "other").exists()
