"""Requests: what is wrong is named by its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import RequestError
from saima.features.declaration import Items, Request
from saima.host.request import Checker, QuickItems, checker, envelope

FIELDS = {"n": "int64", "f": "float32", "s": "string", "b": "bool", "t": "timestamp", "l": "list<int64>"}
FIELDS |= {"v": "vector<float32, 2>", "m": "map<string, float64>"}
GOOD: dict[str, Any] = {"n": 1, "f": 1, "s": "a", "b": True, "t": 5, "l": [1, None], "v": [1.0, 2], "m": {"a": 0.5}}
DECLARED = Request(fields=FIELDS, user={"age": "int64"}, items=Items(max=2, fields={"price": "float64"}))
ITEM = {"item_id": "i", "price": 1.0}
ANY = st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(), st.text(max_size=2))


def body(**changes: Any) -> dict[str, Any]:
    found = {"algorithm": "a", "request": dict(GOOD), "user": {"age": 3}, "items": [ITEM]}
    return {**found, **changes}


def check(document: Any) -> None:
    Checker(DECLARED).check(envelope(document))


def test_a_request_is_the_only_part_unless_it_says_otherwise() -> None:
    assert (envelope(body()).part, envelope(body()).parts) == (0, 1)
    ask = envelope(body(part=3, parts=4))
    assert (ask.part, ask.parts) == (3, 4)


def test_a_good_request_passes_and_null_is_unknown() -> None:
    check(body())
    check(body(request=dict.fromkeys(FIELDS)))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], ""),
        ({"request": {}}, "/algorithm"),
        (body(algorithm=3), "/algorithm"),
        (body(algorithm=""), "/algorithm"),
        (body(nonsense=1), "/nonsense"),
        (body(attempt=0), "/attempt"),
        (body(attempt=True), "/attempt"),
        (body(part=-1), "/part"),
        (body(part=1), "/part"),
        (body(part=4, parts=4), "/part"),
        (body(part=False, parts=2), "/part"),
        (body(part=0.0, parts=2), "/part"),
        (body(part="1", parts=2), "/part"),
        (body(part=None, parts=2), "/part"),
        (body(parts=0), "/parts"),
        (body(parts=True), "/parts"),
        (body(parts=10**400), "/parts"),
        (body(part=0, parts=10_001), "/parts"),
        (body(time=-1), "/time"),
        (body(time="now"), "/time"),
        (body(trace="x" * 300), "/trace"),
        (body(request=[]), "/request"),
        (body(request={**GOOD, "nn": 1}), "/request/nn"),
        (body(request={k: v for k, v in GOOD.items() if k != "s"}), "/request/s"),
        (body(request={**GOOD, "n": 1.5}), "/request/n"),
        (body(request={**GOOD, "n": True}), "/request/n"),
        (body(request={**GOOD, "n": 2**63}), "/request/n"),
        (body(request={**GOOD, "f": "1"}), "/request/f"),
        (body(request={**GOOD, "f": float("nan")}), "/request/f"),
        (body(request={**GOOD, "s": 1}), "/request/s"),
        (body(request={**GOOD, "b": 1}), "/request/b"),
        (body(request={**GOOD, "t": "2013"}), "/request/t"),
        (body(request={**GOOD, "l": [1, "a"]}), "/request/l"),
        (body(request={**GOOD, "v": [1.0]}), "/request/v"),
        (body(request={**GOOD, "m": [1]}), "/request/m"),
        (body(user=None), "/user"),
        (body(user={"age": "old"}), "/user/age"),
        (body(items=None), "/items"),
        (body(items=[]), "/items"),
        (body(items=[ITEM] * 3), "/items"),
        (body(items=[ITEM, 4]), "/items/1"),
        (body(items=[ITEM, {**ITEM, "price": "dear"}]), "/items/1/price"),
        (body(items=[{"price": 1.0}]), "/items/0/item_id"),
        (body(items=[{**ITEM, "item_id": None}]), "/items/0/item_id"),
    ],
)
def test_what_is_wrong_is_named(document: Any, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        check(document)
    assert caught.value.field == field


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(RequestError, match=r"did you mean 'algorithm'"):
        envelope({"algoritm": "a"})


def test_the_unit_is_the_callers_else_the_declared_field() -> None:
    ask = envelope(body(trace="t"))
    assert [ask.unit_of(name) for name in ("trace", "s", "n", "age", "nothing")] == ["t", "a", "1", "3", None]
    assert envelope(body(unit="u")).unit_of("trace") == "u"


def test_a_trace_is_made_or_taken_from_the_header() -> None:
    assert envelope({"algorithm": "a"}, "f" * 32).trace == "f" * 32
    assert len(envelope({"algorithm": "a"}).trace) == 32


def test_an_unknown_type_is_an_error_of_the_declaration() -> None:
    with pytest.raises(ValueError, match="unknown type"):
        checker("int65")


@given(st.lists(st.dictionaries(st.sampled_from(["item_id", "f", "n", "s", "b", "x"]), ANY, max_size=5), max_size=4))
def test_a_quick_yes_is_what_the_slow_look_says(items: list[Any]) -> None:
    fields = {"f": "float32", "n": "int64", "s": "string", "b": "bool"}
    quick = QuickItems({"item_id": "string", **fields})
    if quick.fits(items):
        slow = Checker(Request(items=Items(max=10, fields=fields)))
        slow._quick = QuickItems({"item_id": "list<string>"})  # never says yes
        slow.check(envelope({"algorithm": "a", "items": items}))


def test_items_that_are_right_are_seen_so_at_once() -> None:
    quick = QuickItems({"item_id": "string", "f": "float32", "n": "int64"})
    good = {"item_id": "a", "f": 0.5, "n": -(2**63)}
    assert quick.fits([good, {**good, "f": None, "n": None}])
    for wrong in ({"item_id": None}, {"f": float("inf")}, {"n": 2**63}, {"n": True}, {"f": "1"}, {"more": 1}):
        assert not quick.fits([good, {**good, **wrong}])
    assert not quick.fits([good, "item"])
    assert not quick.fits([{"item_id": "a", "f": 0.5, "x": 1}])
