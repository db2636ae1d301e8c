"""Every function of the dialect: as our expression, compiled, and computed on one row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.importer import import_file
from saima.importer.functions import FUNCTIONS

CASES: list[tuple[str, str, Any, Any]] = [
    ("Copy($t.f)", "float", {"f": 2.5}, 2.5),
    ("$t.f", "double", {"f": 2.5}, 2.5),
    ("Direct($t.s)", "string", {"s": "a"}, "a"),
    ("Coalesce($t.f, 3.0)", "float", {}, 3.0),
    ("IsNull($t.s)", "bool", {}, True),
    ("StringHit($t.s, $t.texts)", "int64", {"s": "b", "texts": ["a", "b"]}, 1),
    ("LongHit($t.n, $t.ints)", "int64", {"n": 7, "ints": [7]}, 1),
    ("IntHit($t.n, $t.ints)", "int64", {"n": 8, "ints": [7]}, 0),
    ("RtFeature($t.packed, 0)", "int64", {"packed": "1,2;3"}, [1, 2]),
    ("ReadIntVec($t.ints, 1)", "int64", {"ints": [4, 5]}, 5),
    ("ReadIntVec(RtFeature($t.packed, 1), 0)", "int64", {"packed": "1,2;3"}, 3),
    ("ReadLongVec($t.ints, 9)", "int64", {"ints": [4, 5]}, -1),
    ("ReadFloatVec($t.floats, 0)", "float", {"floats": [0.5]}, 0.5),
    ("ReadDoubleVec($t.floats, 0)", "double", {"floats": [0.25]}, 0.25),
    ("ReadStringVec($t.texts, 0)", "string", {"texts": ["x"]}, "x"),
    ("Bucket($t.f, $bucket.b)", "int64", {"f": 10.0}, 2),
    ("Long2ID($t.ints, 0L, $vocab.v)", "int64", {"ints": [9, 7, 1]}, [2, 1, 0]),
    ("Int2ID(7, 0, $vocabulary.v)", "int64", {}, 1),
    ("String2ID($t.texts, -1, $vocabularies.v)", "int64", {"texts": ["7", "x"]}, [1, -1]),
    ("HashBucket($t.s, 100)", "int64", {"s": "abc"}, 85),
    ("NumBucket($t.n, 10)", "int64", {"n": 3}, 3),
    ("Combo($t.texts, 'x')", "string", {"texts": ["a", "b"]}, ["a_x", "b_x"]),
    ("Cross($t.texts, $t.s)", "string", {"texts": ["a"], "s": "z"}, ["a_z"]),
    ("Smooth($t.f, 8, 1.0, 2)", "float", {"f": 4.0}, 0.5),
    ("Add($t.n, 1)", "int64", {"n": 2}, 3), ("Sub($t.f, 1)", "double", {"f": 2.0}, 1.0),
    ("Mul($t.f, Add($t.f, 1.0))", "double", {"f": 2.0}, 6.0), ("Div($t.f, 0)", "double", {"f": 2.0}, -1.0),
    ("Mod($t.n, 4)", "int64", {"n": 7}, 3), ("Pow($t.f, 2)", "double", {"f": 3.0}, 9.0),
    ("Clip($t.f, 0.0, 1.0)", "double", {"f": 3.0}, 1.0), ("ZScore($t.f, 1.0, 2.0)", "double", {"f": 5.0}, 2.0),
    ("MinMax($t.f, 0.0, 4.0)", "double", {"f": 1.0}, 0.25),
    ("Distance($t.f, $t.f, $t.f, $t.f)", "double", {"f": 1.0}, 0.0),
    ("Log($t.f)", "double", {"f": 1.0}, 0.0), ("Log1p($t.f)", "double", {"f": 0.0}, 0.0),
    ("Log10($t.f)", "double", {"f": 100.0}, 2.0), ("Exp($t.f)", "double", {"f": 0.0}, 1.0),
    ("Sqrt($t.f)", "double", {"f": 9.0}, 3.0), ("Abs($t.f)", "double", {"f": -9.0}, 9.0),
    ("Sign($t.f)", "double", {"f": -9.0}, -1.0), ("Floor($t.f)", "double", {"f": 1.5}, 1.0),
    ("Ceil($t.f)", "double", {"f": 1.5}, 2.0), ("Round($t.f)", "double", {"f": 2.5}, 3.0),
    ("Sigmoid($t.f)", "double", {"f": 0.0}, 0.5),
    ("Hour($t.at)", "int64", {"at": 7_200_000}, 2), ("Hour()", "int64", {}, 5),
    ("DayOfWeek($t.at)", "int64", {"at": 0}, 3), ("Age($t.at)", "double", {"at": 17_000_000}, 1000.0),
    ("DateDiff($t.at, $t.since, 'hour')", "int64", {"at": 7_200_000, "since": 0}, 2),
    ("Sum($t.floats)", "double", {"floats": [1.0, 2.0]}, 3.0),
    ("Mean($t.floats)", "double", {"floats": [1.0, 2.0]}, 1.5),
    ("Variance($t.floats)", "double", {"floats": [1.0, 3.0]}, 1.0),
    ("Min($t.f, 1.0)", "double", {"f": 3.0}, 1.0), ("Max($t.f, 1.0, 7)", "double", {"f": 3.0}, 7.0),
    ("Len($t.texts)", "int64", {"texts": ["a"]}, 1), ("Unique($t.texts)", "string", {"texts": ["b", "b"]}, ["b"]),
    ("TopK($t.floats, 1)", "double", {"floats": [1.0, 2.0]}, [2.0]),
    ("Slice($t.texts, 1, 2)", "string", {"texts": ["a", "b", "c"]}, ["b"]),
    ("Mask($t.texts, $t.flags)", "string", {"texts": ["a", "b"], "flags": [False, True]}, ["b"]),
    ("Contains($t.texts, 'a')", "bool", {"texts": ["a"]}, True),
    ("Lookup($t.map, 'a')", "double", {"map": {"a": 1.5}}, 1.5),
    ("Lookup($t.map, 'a', 'count')", "int64", {"map": {"a": 1.5}}, 1),
    ("Match($t.nested, 'a', 'b')", "double", {"nested": {"a": {"b": 2.0}}}, 2.0),
    ("KvDot($t.map, $t.map)", "double", {"map": {"a": 2.0}}, 4.0),
    ("Overlap($t.texts, $t.texts, 'query_ratio')", "double", {"texts": ["a"]}, 1.0),
    ("Dot($t.floats, $t.floats)", "double", {"floats": [3.0]}, 9.0),
    ("Cosine($t.floats, $t.floats)", "double", {"floats": [3.0]}, 1.0),
    ("L2Norm($t.floats)", "double", {"floats": [3.0, 4.0]}, 5.0),
    ("Concat($t.s, '-', $t.s)", "string", {"s": "a"}, "a-a"),
    ('Split($t.s, ",")', "string", {"s": "a,b"}, ["a", "b"]),
    ("Join($t.texts, '+')", "string", {"texts": ["a", "b"]}, "a+b"),
    ("Normalize($t.s)", "string", {"s": " A  b "}, "a b"), ("Tokenize($t.s)", "string", {"s": "A b"}, ["a", "b"]),
    ("Tokenize($t.s, $vocab.v)", "int64", {"s": "9 7 x"}, [2, 1, 0]),
    ("EditDistance($t.s, 'ac')", "int64", {"s": "ab"}, 1),
    ("JsonGet($t.s, 'a.b', 'int64')", "int64", {"s": '{"a": {"b": 5}}'}, 5),
]  # fmt: skip
TYPES = """
t: {map: "map<string,float64>", packed: string, s: string, f: float64, n: int64, at: timestamp, since: timestamp,
    texts: list<string>, ints: list<int64>, floats: list<float64>, flags: list<bool>,
    nested: "map<string,map<string,float64>>"}
"""


def test_no_function_is_left_out() -> None:
    used = {name for name in FUNCTIONS if any(f"{name}(" in case[0] for case in CASES)}
    assert used == set(FUNCTIONS)


@pytest.mark.parametrize("told", [False, True], ids=["types by use", "types told"])
def test_every_function_computes(told: bool, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "buckets.yaml").write_text("b: [1, 10, 100]")
    (given / "vocabularies.json").write_text('{"v": ["7", "9"]}')
    cases = list(enumerate(CASES))
    if told:
        (given / "types.yaml").write_text(TYPES)
    else:  # by use alone these do not tell their type
        cases = [(number, case) for number, case in cases if not case[0].startswith(("Coalesce", "IsNull"))]
    features = "".join(
        f'<fea name="f{number}" dataType="{dtype}" default="{default(dtype)}" extractor="{escaped(extractor)}"/>\n'
        for number, (extractor, dtype, _, _) in cases
    )
    tables = "".join(f'<table name="t{n}" alias="t{n}" tag="user" key="user_id"/>\n' for n, _ in cases)
    text = f"<prediction><feature_tables>{tables}</feature_tables>\n<feature_extract_config>{features}"
    text = text.replace("&#36;t.", "$t.") + "</feature_extract_config></prediction>"
    for number, case in cases:  # a table a feature, so that a column has the type of one use
        text = text.replace(f'"{escaped(case[0])}"', f'"{escaped(case[0]).replace("$t.", f"$t{number}.")}"', 1)
    if told:
        (given / "types.yaml").write_text(
            "\n".join(TYPES.strip().replace("t: {map", f"t{number}: {{map", 1) for number, _ in cases)
        )
    (tmp_path / "a.xml").write_text(text)
    plan = import_file(tmp_path / "a.xml", "a", tmp_path / "a", given).algorithm.plan
    row: dict[str, Any] = {"request.time": 18_000_000}
    for number, (_, _, values, _) in cases:
        row |= {f"t{number}.{name}": value for name, value in values.items()}
    schema = plan.input_schema()
    known = {name: [entries(row.get(name))] for name in schema}
    found = plan.evaluate(pl.DataFrame(known, schema=schema, strict=False)).row(0, named=True)
    for number, (extractor, dtype, _, expected) in cases:
        value = found[f"f{number}"]
        assert value == (pytest.approx(expected) if isinstance(expected, float) else expected), (extractor, dtype)


def entries(value: Any) -> Any:
    """A map as a frame holds it."""
    if isinstance(value, dict):
        return [{"key": key, "value": entries(item)} for key, item in value.items()]
    return value


def default(dtype: str) -> str:
    return {"string": "", "bool": "false", "float": "-1.0", "double": "-1.0"}.get(dtype, "-1L")


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


def test_columns_within_decoded_values_are_right(tmp_path: Path) -> None:
    from saima.errors import DeclarationError

    text = (
        '<prediction><feature_extract_config>\n<fea name="f" dataType="string" extractor="Join(&quot;a&quot;, $nope)"/>'
    )
    (tmp_path / "a.xml").write_text(text + "</feature_extract_config></prediction>")
    with pytest.raises(DeclarationError) as caught:
        import_file(tmp_path / "a.xml", "a", tmp_path / "a")
    assert caught.value.place is not None
    assert (caught.value.place.line, caught.value.place.column) == (2, text.split("\n")[1].index("$nope") + 1)
