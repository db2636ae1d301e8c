"""Warm-up requests are golden rows turned around into what a caller sends."""

import polars as pl

from assets.bundles import warm_up
from saima.features.declaration import Request
from saima.features.requests import Fields
from saima.features.types import FLOAT64, INT64, STRING, list_of

TIME = pl.Datetime("ms", "UTC")


def test_a_row_is_a_request() -> None:
    golden = pl.DataFrame({"request.time": [1, 2, 3], "request.x": [10, 20, 30], "w.count": [0, 0, 0]})
    assert warm_up(golden.cast({"request.time": TIME}), {"request.x": INT64}) == [
        {"time": 1, "request": {"x": 10}},
        {"time": 2, "request": {"x": 20}},
    ]


def test_a_ranking_is_a_request_with_user_and_items() -> None:
    golden = pl.DataFrame(
        {
            "request.time": [1, 1, 2],
            "request.shelf": ["left", "left", "right"],
            "user.taste": [[1.0], [1.0], [2.0]],
            "item.item_id": ["x", "y", "z"],
        }
    )
    fields = {"request.shelf": STRING, "user.taste": list_of(FLOAT64), "item.item_id": STRING}
    assert warm_up(golden.cast({"request.time": TIME}), fields) == [
        {
            "time": 1,
            "request": {"shelf": "left"},
            "user": {"taste": [1.0]},
            "items": [{"item_id": "x"}, {"item_id": "y"}],
        },
        {"time": 2, "request": {"shelf": "right"}, "user": {"taste": [2.0]}, "items": [{"item_id": "z"}]},
    ]


def test_a_body_is_read_back_as_the_row_that_it_was_made_of() -> None:
    declared = Request(fields={"seen": "map<string,int64>", "price": "decimal(2)", "tags": "list<string>"})
    fields = Fields(declared)
    row = {"request.seen": [{"key": "a", "value": 1}], "request.price": 125, "request.tags": ["x"]}
    golden = pl.DataFrame({"request.time": [1], **{name: [value] for name, value in row.items()}})
    (body,) = warm_up(golden.cast({"request.time": TIME}), fields.types)
    assert body == {"time": 1, "request": {"seen": {"a": 1}, "price": 1.25, "tags": ["x"]}}
    assert fields.row("request", body["request"]) == row
