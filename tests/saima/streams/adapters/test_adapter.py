"""Adapters: what a record becomes, every reason of refusal, identity, restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saima.errors import DeclarationError
from saima.events import DEAD_LETTER_TOPIC
from saima.features import load
from saima.features.declaration import Source
from saima.streams.adapters import MAX_KEY, MAX_RECORD, REASONS, Adapter, letters

NOW = 1_700_000_000_000
FIELDS = {
    "user_id": "string",
    "device": "int64",
    "country": "string",
    "price": "float64",
    "tags": "list<string>",
    "paid": "bool",
}
RECORD: dict[str, Any] = {
    "time": "meta.ts",
    "id": "meta.id",
    "seq": "meta.n",
    "fields": {
        "user_id": "user.ids[1]",
        "device": {"path": "dev", "values": {"m": 1, "d": 2, "7": 7}},
        "country": {"constant": "FI"},
    },
    "when": {"kind": "click"},
    "ahead": "1h",
}


def source(**record: Any) -> Source:
    return Source.model_validate({"key": "user_id", "fields": FIELDS, "record": {**RECORD, **record}})


def made(**changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": "click",
        "meta": {"ts": NOW - 5, "id": "e1", "n": 3},
        "user": {"ids": ["x", "u1"]},
        "dev": "m",
        "price": 2,
        "tags": ["a", "b"],
        "paid": True,
    }
    return record | changes


def data(**changes: Any) -> bytes:
    return json.dumps(made(**changes)).encode()


def test_a_record_becomes_an_event() -> None:
    adapter = Adapter({"click": source()})
    (event,) = adapter.adapt([data()], NOW).events
    assert (event.key, event.type, event.time, event.seq, event.id) == ("u1", "click", NOW - 5, 3, "e1")
    assert event.payload == {
        "user_id": "u1",
        "device": 1,
        "country": "FI",
        "price": 2.0,
        "tags": ["a", "b"],
        "paid": True,
    }
    assert type(event.payload["price"]) is float


def test_fields_come_under_their_own_name_and_may_be_absent() -> None:
    adapter = Adapter({"click": source()})
    record = made(dev=7)
    del record["tags"], record["price"]
    (event,) = adapter.adapt([record], NOW).events
    assert (event.payload["tags"], event.payload["price"], event.payload["device"]) == (None, None, 7)


REFUSED: list[tuple[bytes, str, str]] = [
    (b"[" * (MAX_RECORD + 1), "too_large", "at most"),
    (b"{", "not_json", "Expecting"),
    (b"\xff\xfe", "not_json", "UnicodeDecodeError"),
    (b'{"a": NaN}', "not_json", "NaN"),
    (b"[" * 200_000, "not_json", "RecursionError"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not_json", "4300"),
    (b"[1]", "not_an_object", "list"),
    (data(dev="\ud800"), "not_unicode", "surrogate"),
    (data(kind="view"), "no_source", "click"),
    (data(meta={"id": "e"}), "no_time", "'meta.ts' is missing"),
    (data(meta=7), "no_time", "'meta.ts' is missing"),
    (data(meta={"ts": "now", "id": "e"}), "wrong_time", "'meta.ts' is 'now'"),
    (data(meta={"ts": True, "id": "e"}), "wrong_time", "True"),
    (data(meta={"ts": 1.5, "id": "e"}), "wrong_time", "1.5"),
    (data(meta={"ts": 7_258_118_400_000, "id": "e"}), "future", "ahead of the wall clock"),
    (data(meta={"ts": NOW + 3_600_001, "id": "e"}), "future", "3600001 ms"),
    (data(meta={"ts": -1, "id": "e"}), "past", "before 1970"),
    (data(user={}), "no_key", "'user_id'"),
    (data(user={"ids": ["x", ""]}), "no_key", "'user_id'"),
    (data(user={"ids": ["x", "u" * 2**20]}), "long_key", "1048576 bytes"),
    (data(user={"ids": ["x", "ü" * (MAX_KEY // 2 + 1)]}), "long_key", "1026 bytes"),
    (data(meta={"ts": NOW}), "no_id", "meta.id"),
    (data(meta={"ts": NOW, "id": 1.5}), "no_id", "meta.id"),
    (data(meta={"ts": NOW, "id": "i" * 2000}), "long_id", "1024"),
    (data(meta={"ts": NOW, "id": "e", "n": "1"}), "wrong_seq", "'1'"),
    (data(meta={"ts": NOW, "id": "e", "n": 2**63}), "wrong_seq", "64 bits"),
    (data(price="2"), "wrong_type", "'price' is '2', not float64"),
    (data(price=True), "wrong_type", "'price'"),
    (b'{"price": 1e999, ' + data()[1:].replace(b'"price": 2, ', b""), "wrong_type", "inf"),
    (data(paid=1), "wrong_type", "'paid' is 1, not bool"),
    (data(tags=[1]), "wrong_type", "'tags'"),
    (data(user={"ids": ["x", 5]}), "wrong_type", "'user_id'"),
    (data(dev="tv"), "not_enumerated", "'device' is 'tv'"),
    (data(dev=["m"]), "not_enumerated", "'device'"),
]


@pytest.mark.parametrize(("record", "reason", "text"), REFUSED, ids=[f"{r}-{n}" for n, (_, r, _) in enumerate(REFUSED)])
def test_a_refused_record_keeps_reason_and_bytes(record: bytes, reason: str, text: str) -> None:
    adapter = Adapter({"click": source()})
    result = adapter.adapt([record, data()], NOW)
    (refused,) = result.refused
    assert (refused.number, refused.reason, refused.data) == (1, reason, record)
    assert text in refused.text
    assert len(result.events) == 1
    assert adapter.counts == {reason: 1, "accepted": 1}
    table = letters("shop", result.refused, NOW)
    assert table.schema == DEAD_LETTER_TOPIC.schema
    assert table.column("bytes").to_pylist() == [record]
    assert table.column("reason").to_pylist() == [f"{reason}: {refused.text}"]
    assert table.column("id").to_pylist() == ["shop:1"]


COLUMNS: dict[str, Any] = {
    "delimited": {"separator": "|", "columns": ["at", "id", "n", "user_id", "device", "price", "tags", "paid", "what"]},
    "when": {"what": "click"},
    "time": {"path": "at", "unit": "s"},
    "id": "id",
    "seq": "n",
    "fields": {"device": {"path": "device", "values": {"m": 1, "7": 7}}, "country": {"constant": "FI"}},
}


def test_delimited_text_is_read_as_its_types_are_written() -> None:
    adapter = Adapter({"click": source(), "typed": source(**COLUMNS)})
    lines = [b"1700000000.25|e1|3|u1|7|2.5|a\x1db|true|click", b"1700000000|e2|||m||||click"]
    first, second, json_ = adapter.adapt([lines[0], lines[1].replace(b"|||m", b"||u2|m"), data()], NOW + 1000).events
    assert (first.key, first.type, first.time, first.seq, first.id) == ("u1", "typed", NOW + 250, 3, "e1")
    assert first.payload == {
        "user_id": "u1", "device": 7, "country": "FI", "price": 2.5, "tags": ["a", "b"], "paid": True,
    }  # fmt: skip
    assert (second.time, second.seq, second.payload["price"], second.payload["tags"]) == (NOW, 0, None, None)
    assert json_.type == "click"


DELIMITED = [
    (b"\xff|", "not_text", "UTF-8"),
    (b"a|b", "wrong_columns", "2 of 9 columns cut by '|'"),
    (b"||||||||click", "no_time", "'at'"),
    (b"soon||||||||click".replace(b"||||||||", b"|e|1|u|m|1||1|"), "wrong_time", "'at' is 'soon', not a number of s"),
    (b"1700000000|e|1.5|u|m|1||1|click", "wrong_seq", "'1.5'"),
    (b"1700000000|e|1|u|m|1e999||1|click", "wrong_type", "'price' is '1e999', not float64"),
    (b"1700000000|e|1|u|m|1||maybe|click", "wrong_type", "'paid' is 'maybe', not bool"),
    (b"1700000000|e|1|u|m|1||1|view", "no_source", "typed"),
]


@pytest.mark.parametrize(("record", "reason", "text"), DELIMITED)
def test_refused_text_keeps_reason_and_bytes(record: bytes, reason: str, text: str) -> None:
    (refused,) = Adapter({"typed": source(**COLUMNS)}).adapt([record], NOW).refused
    assert (refused.reason, refused.data) == (reason, record)
    assert text in refused.text


def test_every_reason_has_a_case() -> None:
    assert {reason for _, reason, _ in [*REFUSED, *DELIMITED]} == set(REASONS)


TIMES = [
    ({"path": "meta.ts", "unit": "s"}, 1_600_000_000, 1_600_000_000_000),
    ({"path": "meta.ts", "unit": "s"}, 1_600_000_000.123, 1_600_000_000_123),
    ({"path": "meta.ts", "unit": "us"}, 1_600_000_000_123_999, 1_600_000_000_123),
    ({"path": "meta.ts", "unit": "ns"}, 1_600_000_000_123_999_999, 1_600_000_000_123),
    ({"path": "meta.ts", "unit": "iso"}, "2020-09-13T12:26:40.123Z", 1_600_000_000_123),
    ({"path": "meta.ts", "unit": "iso"}, "2020-09-13T15:26:40+03:00", 1_600_000_000_000),
    ({"path": "meta.ts", "unit": "iso", "zone": "Europe/Helsinki"}, "2020-09-13T15:26:40", 1_600_000_000_000),
]


@pytest.mark.parametrize(("time", "given", "expected"), TIMES)
def test_units_of_time(time: Any, given: Any, expected: int) -> None:
    result = Adapter({"click": source(time=time)}).adapt([data(meta={"ts": given, "id": "e"})], NOW)
    assert [event.time for event in result.events] == [expected]


@pytest.mark.parametrize("given", ["2020-09-13T12:26:40", "0001-01-01T00:00:00Z", "x", 5, None, "9999-12-31T23:59:59Z"])
def test_iso_times_that_are_none(given: Any) -> None:
    time = {"path": "meta.ts", "unit": "iso"}
    (refused,) = Adapter({"click": source(time=time)}).adapt([data(meta={"ts": given, "id": "e"})], NOW).refused
    assert refused.reason in ("wrong_time", "past", "future", "no_time")


def test_the_first_source_whose_condition_fits_takes_a_record() -> None:
    adapter = Adapter({"click": source(), "any": source(when={})})
    found = adapter.adapt([data(), data(kind="view"), data(kind="view")], NOW)
    assert [event.type for event in found.events] == ["click", "any"]
    assert found.duplicates == 1


def test_identity_of_several_paths_or_of_the_bytes() -> None:
    several = Adapter({"click": source(id=["meta.id", "meta.n"])})
    assert [event.id for event in several.adapt([data()], NOW).events] == ["e1\x1f3"]
    content = Adapter({"click": source(id=None)})
    found = content.adapt([data(), data(), data(dev="d")], NOW)
    assert (len({event.id for event in found.events}), found.duplicates) == (2, 1)


def test_a_restart_goes_on_with_numbers_counts_and_identities() -> None:
    first = Adapter({"click": source()})
    first.adapt([data(), b"{"], NOW)
    stored = [(key, packed) for key, packed in first.changes() if packed is not None]
    again = Adapter({"click": source()})
    again.load(stored)
    result = again.adapt([data(), b"{"], NOW)
    assert (result.duplicates, result.refused[0].number) == (1, 4)
    assert again.counts == {"accepted": 1, "not_json": 2, "duplicates": 1}


ONE = {"one": {"value": "1.0", "dtype": "float64"}}
MISTAKES = [
    ({"fields": {"nope": "x"}}, "unknown field 'nope'"),
    ({"fields": {"device": {"constant": "x"}}}, "'device' is int64, and 'x' is none"),
    ({"fields": {"device": {"path": "a", "values": {"m": "x"}}}}, "'device' is int64, and 'x' is none"),
    ({"fields": {"device": {"path": "a", "constant": 1}}}, "either a path or a constant"),
    ({"fields": {"device": {"path": "a..b"}}}, "'a..b' is no path"),
    ({"fields": {"device": {"path": "a", "default": 1}}}, "declare 'values'"),
    ({"ahead": "soon"}, "soon"),
    ({"time": {"path": "t", "zone": "UTC"}}, "only ISO times have a zone"),
    ({"seq": "[0"}, "'[0' is no path"),
]


@pytest.mark.parametrize(("record", "message"), MISTAKES)
def test_a_mistake_in_the_declaration_is_named_with_its_place(record: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    declared = {"key": "user_id", "fields": FIELDS, "record": {**RECORD, **record}}
    (folder / "algorithm.yaml").write_text(
        json.dumps({"algorithm": "shop", "sources": {"click": declared}, "request": {"fields": {}}, "features": ONE}),
        "utf-8",
    )
    with pytest.raises(DeclarationError) as error:
        load(folder)
    assert message in str(error.value)
    assert "algorithms/shop/algorithm.yaml:1:" in str(error.value)


def test_the_record_is_no_part_of_the_digest(tmp_path: Path) -> None:
    """How records arrive changes no feature: a model stays the model of its declaration."""
    digests = set()
    for place, record in enumerate([None, RECORD]):
        folder = tmp_path / str(place) / "shop"
        folder.mkdir(parents=True)
        declared = {"key": "user_id", "fields": FIELDS} | ({"record": record} if record else {})
        document = {"algorithm": "shop", "sources": {"click": declared}, "request": {"fields": {}}, "features": ONE}
        (folder / "algorithm.yaml").write_text(json.dumps(document), "utf-8")
        digests.add(load(folder).digest)
    assert len(digests) == 1
