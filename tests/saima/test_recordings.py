"""A recording's requests as rows: a ranking's are its candidates, chosen by what request and candidates share."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.features.declaration import Declaration, Feature, Items, Request
from saima.recordings import load_recording, with_candidates

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
