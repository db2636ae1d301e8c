"""What is sent for a recorded request."""

from __future__ import annotations

import polars as pl
import pytest

from cli.questions import Questions
from saima.errors import SaimaError
from saima.features.declaration import Items, Request

RANKING = Request(fields={"shelf": "string"}, user={"age": "int64"}, items=Items(fields={"item_id": "string"}))
CANDIDATES = pl.DataFrame({"shelf": ["right", "left", "left"], "item_id": ["z", "x", "y"]})
ROW = {"key": "a", "time": 5, "shelf": "left", "age": 30, "colour": "red"}


def test_a_ranking_sends_user_and_candidates() -> None:
    assert Questions(RANKING, CANDIDATES).ask(ROW) == {
        "request": {"shelf": "left"},
        "user": {"age": 30},
        "items": [{"item_id": "x"}, {"item_id": "y"}],
    }


def test_another_request_sends_its_fields_alone() -> None:
    assert Questions(Request(fields={"shelf": "string"})).ask(ROW) == {"request": {"shelf": "left"}}


def test_candidates_of_every_request_are_counted_from() -> None:
    rows = pl.DataFrame({"key": ["a", "b"], "shelf": ["left", "right"]})
    found = Questions(RANKING, CANDIDATES).candidates(rows)
    assert found is not None
    assert sorted(found.rows()) == [("a", "x"), ("a", "y"), ("b", "z")]
    assert Questions(Request(fields={"shelf": "string"})).candidates(rows) is None


def test_a_ranking_without_candidates_is_refused() -> None:
    with pytest.raises(SaimaError, match="names no candidates"):
        Questions(RANKING)


def test_lists_maps_and_decimals_are_sent_as_json_has_them() -> None:
    fields = {"tags": "list<string>", "seen": "map<string,int64>", "price": "decimal(2)", "text": "list<string>"}
    row = {"tags": ["a"], "seen": [{"key": "x", "value": 1}], "price": 125, "text": "a\x1db"}
    sent = {"tags": ["a"], "seen": {"x": 1}, "price": 1.25, "text": "a\x1db"}
    assert Questions(Request(fields=fields)).ask(row) == {"request": sent}
