"""A recording's requests as rows: a ranking's are its candidates, chosen by what request and candidates share."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.events import Topic, arrow_type, to_table_frame
from saima.features import load
from saima.features.backfill import backfill
from saima.features.declaration import Declaration, Feature, Items, Request
from saima.host.collector import Collector
from saima.recordings import load_recording, topics, with_candidates
from saima.settings import Settings
from saima.stores import open_log

RANKING = Declaration(
    algorithm="shelf",
    request=Request(
        fields={"shelf": "string"}, user={"age": "int64"}, items=Items(fields={"item_id": "string", "price": "float64"})
    ),
    features={"age": Feature(value="user.age", dtype="int64")},
)
ASKED = pl.LazyFrame({"time": [5, 6], "trace": ["a", "b"], "shelf": ["left", "right"], "age": [30, 40]})
ITEMS = pl.LazyFrame(
    {"shelf": ["right", "left", "left"], "item_id": ["z", "x", "y"], "price": [3.0, 1.0, 2.0]}
)  # fmt: skip


def test_a_request_is_a_row_for_each_of_its_candidates_in_their_order() -> None:
    rows = with_candidates(RANKING, ASKED, ITEMS, "trace").collect()
    assert rows.columns == ["time", "trace", "request.shelf", "user.age", "item.item_id", "item.price"]
    assert rows.rows() == [
        (5, "a", "left", 30, "x", 1.0),
        (5, "a", "left", 30, "y", 2.0),
        (6, "b", "right", 40, "z", 3.0),
    ]


def test_candidates_that_share_nothing_with_the_request_are_everybodys() -> None:
    rows = with_candidates(RANKING, ASKED, ITEMS.drop("shelf")).collect()
    assert rows.select("time", "item.item_id").rows() == [(time, item) for time in (5, 6) for item in "zxy"]


def test_a_request_without_candidates_is_its_own_row() -> None:
    plain = RANKING.model_copy(update={"request": Request(fields={"shelf": "string"})})
    assert with_candidates(plain, ASKED, None, "trace").collect().rows() == [(5, "a", "left"), (6, "b", "right")]
    with pytest.raises(SaimaError, match=r"algorithms/shelf/sources.py: candidates\(datasets\) is missing"):
        with_candidates(RANKING, ASKED, None)


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "sources.py").write_text(
        "HISTORY_START, HISTORY_END, BASELINE = 1, 2, ('a',)\n"
        "def recorded_events(datasets):\n"
        "    raise FileNotFoundError(f'{datasets} is empty')\n"
    )
    found = load_recording(tmp_path, Path("data"))
    assert (found.history_start, found.history_end, found.baseline) == (1, 2, ("a",))
    assert found.candidates is None
    with pytest.raises(SaimaError, match="data is empty"):
        found.events  # noqa: B018  it is read when it is asked for


FORMS = """
algorithm: forms
sources:
  seen:
    key: user
    fields:
      user: string
      tags: {type: list<string>, items: ","}
      counts: {type: "map<string,int64>", items: ";", pair: "="}
      place: {type: "vector<float64,2>", items: ","}
      price: decimal(2)
request:
  fields: {user: string, tags: {type: list<string>, items: ","}}
tables:
  last: {source: seen, key: user}
aggregates:
  spent: {from: seen, key: user, value: price, measures: [sum], windows: [1h]}
features:
  hits: {value: "hit('b', last.tags)", dtype: int64}
  total: {value: "lookup(last.counts, tags)", dtype: float64}
  norm: {value: "l2_norm(last.place)", dtype: float64}
  bill: {value: spent.sum_1h, dtype: decimal(2)}
"""
RECORDED = """
import polars as pl
HISTORY_START, HISTORY_END = 0, 10
ROWS = {
    "user": ["u", "u", "v"], "tags": ["a,b", "", None], "counts": ["a=1;b=2;c", "x=what", None],
    "place": ["3.0,4.0", "1,2,3", None], "price": [1.25, None, float("nan")],
}
def recorded_events(datasets):
    place = pl.int_range(3)
    envelope = dict(key="user", type=pl.lit("seen"), time=place + 1, seq=place, id=place.cast(pl.String))
    return {"seen": pl.LazyFrame(ROWS).with_columns(**envelope)}
"""


def test_text_is_decoded_alike_for_the_stream_for_serving_and_for_backfill(tmp_path: Path) -> None:
    folder = tmp_path / "forms"
    folder.mkdir()
    (folder / "algorithm.yaml").write_text(FORMS)
    (folder / "sources.py").write_text(RECORDED)
    algorithm = load(folder)
    recording = load_recording(folder, tmp_path)
    (topic,) = topics(algorithm.declaration).values()
    streamed = to_table_frame(topic, recording.events["seen"].collect(), 9)
    log = open_log(Settings(home=tmp_path / "home"))
    rows = [{name: None if value != value else value for name, value in row.items()} for row in
            pl.DataFrame(recording.module.ROWS).to_dicts()]  # fmt: skip
    events = [{"type": "seen", "time": at + 1, "seq": at, "id": str(at), "payload": row} for at, row in enumerate(rows)]
    Collector(log, algorithm.declaration.sources, lambda: 9).collect({"events": events})
    (segment,) = log.read({0: 0}, 10)
    assert segment.table.cast(streamed.schema).equals(streamed)
    assert streamed.column("counts").to_pylist() == [[("a", 1), ("b", 2), ("c", None)], [("x", None)], None]

    asked = pl.LazyFrame({"time": [1, 3, 9], "user": ["u", "u", "v"], "tags": ["a,b,z", "", "a"]})
    wanted = [(1, 1, 3.0, 5.0, None), (3, 0, None, None, 125), (9, 0, None, None, None)]
    for given in (recording.events, recording.module.recorded_events(tmp_path), {"seen": pl.LazyFrame(streamed)}):
        assert backfill(algorithm, asked, given).collect().rows() == wanted


def test_a_recorded_field_of_another_type_is_named() -> None:
    topic = Topic("seen", {"cents": arrow_type("int64"), "seen": arrow_type("map<string,map<string,int64>>")})
    row = {"key": ["u"], "type": ["seen"], "time": [1], "seq": [0], "id": ["1"]}
    nested = [{"key": "a", "value": [{"key": "b", "value": 2}]}]
    found = to_table_frame(
        topic,
        pl.DataFrame(
            {
                **row,
                "cents": [
                    1.0,
                ],
                "seen": [nested],
            }
        ),
        9,
    )
    assert found.select(["cents", "seen"]).to_pylist() == [{"cents": 1, "seen": [("a", [("b", 2)])]}]
    for name, value, words in (
        ("cents", 1.5, "'cents' is Float64, declared int64: "),
        ("seen", "a:b", "'seen' is Str"),
    ):
        frame = pl.DataFrame({**row, "cents": [1], "seen": [nested], name: [value]})
        with pytest.raises(SaimaError, match=f"^events of 'seen': {words}"):
            to_table_frame(topic, frame, 9)
