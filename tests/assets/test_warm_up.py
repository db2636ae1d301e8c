"""Warm-up requests are golden rows turned around into what a caller sends."""

import polars as pl

from assets.bundles import warm_up

TIME = pl.Datetime("ms", "UTC")


def test_a_row_is_a_request() -> None:
    golden = pl.DataFrame({"request.time": [1, 2, 3], "request.x": [10, 20, 30], "w.count": [0, 0, 0]})
    assert warm_up(golden.cast({"request.time": TIME})) == [
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
    assert warm_up(golden.cast({"request.time": TIME})) == [
        {
            "time": 1,
            "request": {"shelf": "left"},
            "user": {"taste": [1.0]},
            "items": [{"item_id": "x"}, {"item_id": "y"}],
        },
        {"time": 2, "request": {"shelf": "right"}, "user": {"taste": [2.0]}, "items": [{"item_id": "z"}]},
    ]
