"""Every form that a value may arrive in gives one answer: in requests, in backfills, in features."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.features.backfill import request_frame
from saima.features.compiler import compile_plan
from saima.features.declaration import Declaration
from saima.features.encodings import Decoder, decoded
from saima.features.field_type import FieldType
from saima.features.requests import Fields
from saima.features.types import parse_type, to_frame_value
from saima.host.request import checker

DECLARED = {
    "algorithm": "forms",
    "request": {
        "fields": {
            "tags": {"type": "list<string>", "items": ","},
            "keyed": {"type": "list<string>", "items": ",", "pair": "="},
            "plain": "list<int64>",
            "weights": {"type": "map<string,float64>", "items": ";", "pair": "="},
            "place": "vector<float64,2>",
            "price": "decimal(2)",
        }
    },
    "features": {
        "hits": {"value": "hit('b', tags)", "dtype": "int64"},
        "keys": {"value": "join(keyed, '|')", "dtype": "string"},
        "total": {"value": "sum(plain)", "dtype": "int64"},
        "dot": {"value": "kv_dot(weights, tags)", "dtype": "float64"},
        "named": {"value": "weights", "dtype": "list<string>"},
        "norm": {"value": "l2_norm(place)", "dtype": "float64"},
        "dearer": {"value": "price + 1", "dtype": "decimal(2)"},
    },
}  # fmt: skip
NATIVE: dict[str, Any] = {
    "tags": ["a", "b"], "keyed": ["x", "y"], "plain": [1, 2, None], "weights": {"a": 0.5, "b": 2.0, "c": None},
    "place": [3.0, 4.0], "price": 1.25,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "tags": "a,b", "keyed": "x=1,y", "plain": "1\x1d2\x1dthree", "weights": "a=0.5;b=2.0;c", "place": "3.0\x1d4.0",
    "price": 1.25,
}  # fmt: skip
KEYS: dict[str, Any] = {**NATIVE, "tags": {"a": 1, "b": None}, "keyed": {"x": 0, "y": 0}}
DECLARATION = Declaration.model_validate(DECLARED)
PLAN = compile_plan(DECLARATION, {})


def served(fields: dict[str, Any]) -> dict[str, Any]:
    """Features of a request, as serving converts its fields."""
    for name, value in fields.items():
        assert value is None or checker(DECLARATION.request.fields[name])(value) is None
    row = Fields(DECLARATION.request).row("request", fields)
    schema = PLAN.input_schema()
    frame = pl.from_dicts([{"request.time": 0, **row}], schema=schema)
    return PLAN.evaluate(frame).to_dicts()[0]


@pytest.mark.parametrize("fields", [NATIVE, TEXT, KEYS], ids=["native", "text", "keys"])
def test_all_forms_give_one_answer(fields: dict[str, Any]) -> None:
    assert served(fields) == {
        "hits": 1, "keys": "x|y", "total": 3, "dot": 2.5, "named": ["a", "b", "c"], "norm": 5.0, "dearer": 225,
    }  # fmt: skip


@pytest.mark.parametrize("fields", [NATIVE, TEXT], ids=["native", "text"])
def test_a_request_log_in_either_form_gives_the_same_frame(fields: dict[str, Any]) -> None:
    native = {**NATIVE, "weights": [{"key": key, "value": value} for key, value in NATIVE["weights"].items()]}
    wanted = request_frame(DECLARATION, pl.DataFrame([native]))
    given_ = {**fields, "weights": native["weights"] if fields is NATIVE else fields["weights"]}
    frame = request_frame(DECLARATION, pl.DataFrame([given_]))
    assert frame.to_dicts() == wanted.to_dicts()
    assert frame["request.price"].to_list() == [125]


def test_missing_is_not_empty() -> None:
    fields = dict.fromkeys(NATIVE) | {"weights": ""}
    assert served(fields)["named"] == []
    assert Decoder("list<string>").decode("") == []
    assert Decoder("map<string,int64>").decode("") == {}
    assert Decoder("list<string>").decode(None) is None


def test_a_cast_that_fails_is_missing_and_counted() -> None:
    fields = Fields(DECLARATION.request)
    fields.row("request", {**TEXT, "place": "1.0\x1d2.0\x1d3.0", "price": 1e300})
    assert fields.failed == {"request.plain": 1, "request.place": 1, "request.price": 1}
    fields.row("request", NATIVE)
    assert sum(fields.failed.values()) == 3


def test_nested_values_come_natively() -> None:
    assert checker("list<list<int64>>")("1\x1d2") == "must be a list, not '1\\x1d2'"
    assert checker("list<int64>")([1, "2"]) == "must be a whole number of 64 bits, not '2'"


def test_a_field_type_survives_its_canonical_form() -> None:
    again = Declaration.model_validate(DECLARATION.model_dump(mode="json", by_alias=True), strict=True)
    assert again == DECLARATION
    assert [Decoder(again.request.fields[name]).decode(value) for name, value in TEXT.items()] == [
        Decoder(DECLARATION.request.fields[name]).decode(value) for name, value in TEXT.items()
    ]
    assert DECLARATION.model_dump(mode="json")["request"]["fields"]["plain"] == "list<int64>"


ELEMENTS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": st.text(st.characters(blacklist_characters="\x1d:", blacklist_categories=["Cs"]), min_size=1),
}


@pytest.mark.parametrize("element", list(ELEMENTS))
@settings(max_examples=30, deadline=None, database=None)
@given(data=st.data())
def test_delimited_text_is_the_list_that_it_was_made_of(element: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(ELEMENTS[element], max_size=5))
    texts = [("true" if v else "false") if isinstance(v, bool) else str(v) for v in values]
    dtype = FieldType(f"list<{element}>")
    found = Decoder(dtype).decode("\x1d".join(texts))
    assert [(type(v), v) for v in found] == [(type(v), v) for v in values]
    assert str(found) == str(values)  # the sign of a zero too
    column = decoded(pl.Series("x", ["\x1d".join(texts)]), dtype)
    assert column.to_list() == [to_frame_value(values, parse_type(dtype))]
    keyed = Decoder(f"map<string,{element}>").decode("\x1d".join(f"{at}:{text}" for at, text in enumerate(texts)))
    assert keyed == {str(at): value for at, value in enumerate(values)}
