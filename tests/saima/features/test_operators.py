"""Operators: the Polars lowering equals the plain-Python reference on generated rows; docstrings' examples run."""

from __future__ import annotations

import doctest
import math
import struct
import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saima.features.expression import Scope, compile_expression, interpret
from saima.features.lowering import lower
from saima.features.nodes import Node, column, resource
from saima.features.operators import FAMILIES, OPERATORS
from saima.features.operators.base import Operator
from saima.features.types import TIMESTAMP, Type, from_frame_value, parse_type, series
from saima.features.vocabularies import from_terms

FIELDS = {
    "i": "int64", "j": "int64", "x": "float64", "y": "float64", "f": "float32", "p": "bool", "q": "bool",
    "s": "string", "t": "string", "a": "timestamp", "b": "timestamp", "number": "string",
    "ints": "list<int64>", "floats": "list<float64>", "others": "list<float64>", "texts": "list<string>",
    "terms": "list<string>", "flags": "list<bool>", "u": "vector<float64,3>", "v": "vector<float64,3>",
    "record": "list<list<int64>>", "m": "map<string,int64>", "w": "map<string,float64>",
    "d": "decimal(2)", "e": "decimal(4)", "decimals": "list<decimal(2)>", "prices": "map<string,decimal(2)>",
    "nested": "map<string,map<string,float64>>", "rows": "map<string,list<float64>>", "json": "string",
}  # fmt: skip

WORDS = st.sampled_from(["a", "b", "ALL", "é", "É", "", "中文", "a b", "7", "-3", "😀", "ﬁ", "İ", "ß"])
TEXT = st.one_of(WORDS, st.text(max_size=20))
INT = st.one_of(st.integers(-9, 9), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1]))
FLOAT = st.one_of(
    st.floats(-100, 100), st.floats(),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 2.5, -2.5, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan]),
)  # fmt: skip
TIME = st.integers(-62_135_596_800_000 + 86_400_000 * 2, 253_402_300_799_000 - 86_400_000 * 2)
NUMBER = st.one_of(
    st.sampled_from(
        [" 12 ", "+7", "-0", "1.5", "1e3", "true", "0", "nan", "inf", "1_000", "٣", "1e999", "9223372036854775808", ""]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
JSON = st.sampled_from(
    ['{"a": {"b": [5]}}', '{"a": 1.5}', "[1, 2]", "not", "", "https://x.org/?page=2&q=%C3%A9", '{"a": "x"}']
)


def values(dtype: Type) -> st.SearchStrategy[Any]:
    if dtype.name == "map":
        inner = st.dictionaries(WORDS, st.one_of(st.none(), values(dtype.of)), max_size=3)
    elif dtype.element is not None:
        sizes = {"min_size": dtype.size, "max_size": dtype.size} if dtype.name == "vector" else {"max_size": 4}
        inner = st.lists(values(dtype.of), **sizes)
    else:
        inner = {
            "int64": INT, "float64": FLOAT, "float32": st.floats(width=32), "bool": st.booleans(), "string": TEXT,
            "timestamp": TIME, "decimal": INT,
        }[dtype.name]  # fmt: skip
    return st.one_of(st.none(), inner) if dtype.name not in ("list", "vector") else st.one_of(st.none(), inner, inner)


STRATEGIES = {name: values(parse_type(text)) for name, text in FIELDS.items()}
STRATEGIES |= {"number": st.one_of(st.none(), NUMBER), "json": st.one_of(st.none(), JSON)}

EXACT = [
    "i + j", "i - j", "i * j", "x + y", "x - y", "x * y", "x / y", "i / j", "x / 3", "i / 7", "i // j", "i % j",
    "i // 3", "i % -3", "i // -1", "x // y", "x % y", "mod(x, 3.0)", "mod(i, j)", "-i", "-x", "+x", "i ** 2",
    "i ** 3", "x ** 2", "pow(i, 0)", "(x + y) * x - y / 2", "i + x", "f * f", "f + 1", "i < j", "x <= y",
    "x > 0.5", "i >= x", "i == j", "x == y", "s == t", "s < t", "p == q", "a < b", "a != b", "i != 3", "0 < x < y",
    "p and q", "p or q", "not p", "p and x > 0 or q", "i if p else j", "x if p else i", "s if x > 0 else t",
    "texts if p else terms", "i in [1, 2, 3]", "s in texts", "s not in ['a', 'b']", "i in ints", "x in floats",
    "is_null(x)", "is_null(s)", "is_null(floats)", "is_null(texts)", "coalesce(x, y)", "coalesce(x, 1)",
    "coalesce(s, 'none')", "coalesce(ints, [1])", "cast(x, 'int64')", "cast(i, 'float32')", "cast(x, 'float32')",
    "cast(number, 'int64')", "cast(number, 'float64')", "cast(number, 'bool')", "cast(p, 'int64')",
    "cast(i, 'bool')", "cast(i, 'string')", "cast(p, 'string')", "cast(a, 'int64')", "cast(floats, 'list<int64>')",
    "cast(floats, 'list<float32>')", "len(cast(ints, 'list<float64>'))", "cast(number, 'float32')", "f > 1",
    "f in floats",
    "cast(ints, 'list<float32>')", "cast(texts, 'list<int64>')", "cast(u, 'vector<float32,3>')",
    "cast(m, 'map<string,float64>')", "hour(a)", "day_of_week(a)", "hour(tz='UTC')", "age(a)",
    "date_diff(a, b, 'second')", "date_diff(a, b, 'minute')", "date_diff(a, b, 'hour')", "date_diff(b, a, 'day')",
    "lookup_id(s, vocabularies.v)", "lookup_id(i, vocabularies.v, oov=9)", "lookup_id(texts, vocabularies.v)",
    "lookup_id(p, vocabularies.v)", "hash_bucket(s, 1000)", "hash_bucket(i, 7)", "hash_bucket(p, 100)",
    "hash_bucket(a, 100)", "hash_bucket(texts, 13)", "num_bucket(i, 100)", "num_bucket(ints, 5)",
    "bucketize(x, buckets.b)", "bucketize(i, buckets.b)", "bucketize(floats, buckets.b)", "bucketize(x, [0, 1])",
    "sqrt(x)", "sqrt(floats)", "abs(x)", "abs(i)", "sign(x)", "sign(i)", "floor(x)", "ceil(x)", "round(x)",
    "clip(x, -1, 1)", "clip(i, 0, 10)", "clip(x, y, 2.0)", "zscore(x, y, 2.0)", "zscore(x, 1.0, y)",
    "minmax(x, 0.0, y)", "smooth(i, j, 1.0, 10.0)", "smooth(x, y, 0.5, 0.0, scale=100)", "hit(s, texts)",
    "hit(i, texts)", "hit(s, ['a', 'b'])", "slot(record, 1)", "slot(json, 0)", "slot(record, -1)",
    "element(ints, i)", "element(texts, 1)", "element(floats, 0)", "ints[1]", "m['a']", "texts[0:1]", "texts[-2:]",
    "mask(ints, flags)", "mask(texts, flags)", "unique(texts)", "unique(ints)", "sort(ints)", "sort(texts)",
    "sort(ints, descending=True)", "top_k(ints, 2)", "slice(ints, 1, 3)", "slice(ints, -3, -1)", "slice(ints, 1)",
    "contains(texts, s)", "contains(ints, i)", "contains(s, t)", "contains(s, 'a')", "len(s)", "len(ints)",
    "len(m)", "sum(ints)", "sum(floats)", "mean(ints)", "mean(floats)", "min(ints)", "max(texts)", "min(i, j)",
    "max(x, i)", "min(x, y, 0.5)", "variance(floats)", "variance(floats, ddof=1)", "combine(ints)",
    "combine(ints, how='mean')", "combine(texts, {'a': 1, 'b': 2})", "combine(texts, {'a': 0.5}, 'max')",
    "combine(texts, how='first')", "lookup(m, texts)", "lookup(m, s)", "lookup(w, texts, 'mean')",
    "lookup(m, texts, 'list')", "lookup(m, i, 'count')", "lookup(rows, texts)", "match(nested, s, t)",
    "kv_dot(w, w)", "kv_dot(texts, m)", "kv_dot(texts, terms)", "combo(texts, i, terms)", "combo(s, t)",
    "overlap(texts, terms, 'query_ratio')", "overlap(texts, terms, 'contains')",
    "overlap(texts, terms, 'index_of')", "overlap(texts, terms, 'difference')", "overlap(texts, terms, 'equal')",
    "dot(u, v)", "dot(floats, others)", "l2_norm(u)", "cosine(u, v)", "cosine(floats, others)",
    "concat(s, '-', t)", "concat(s, i, p)", "split(s, ' ')", "join(texts, ',')", "join(ints, '-')",
    "replace(s, 'a', 'bb')", "normalize(s)", "tokenize(s)", "tokenize(s, vocabularies.v)", "edit_distance(s, t)",
    "get(json, 'a.b.0', 'int64')", "get(json, 'a', 'float64')", "get(json, 'query.page', 'int64')",
    "get(json, 'query.q', 'string')", "get(m, 'a', 'int64')", "get(m, 'b', 'float64')",
    "get(nested, 'ALL.b', 'float64')",
    "get(rows, 'a.0', 'float64')", "get(nested, 'a', 'map<string,float64>')",
    "bm25(texts, terms, {'documents': 10, 'average_length': 3, 'frequencies': {'a': 2}})",
    "steps('hash_bucket', texts, 10)", "steps('smooth', ints, floats, 1.0, 2.0)", "steps('concat', texts, '-', s)",
    "steps('bucketize', ints, buckets.b)", "steps('clip', floats, low=0, high=x)", "steps('is_null', texts)",
    "replace_regex(s, '[a-z]+', '#')",
    "d + e", "d - e", "e - i", "d + 1", "d * e", "d * i", "d * x", "d / e", "d // e", "d % e", "mod(d, e)", "-d", "+d",
    "abs(d)", "sign(d)", "d ** 2", "d < e", "d == i", "d >= 0.5", "d != x", "0 < d < e", "d if p else e",
    "d if p else i", "coalesce(d, e)", "coalesce(d, 1)", "coalesce(d, x)", "min(d, e)", "max(d, i, e)", "min(d, x)",
    "clip(d, e, 10)", "clip(d, 0, 10)", "is_null(d)", "round(d)", "smooth(d, e, 1.0, 2.0)", "bucketize(d, buckets.b)",
    "d in decimals", "e not in decimals", "contains(decimals, i)", "sum(decimals)", "mean(decimals)", "max(decimals)",
    "variance(decimals)", "sort(decimals)", "unique(decimals)", "combine(decimals)", "lookup(prices, texts)",
    "lookup(prices, texts, 'max')", "kv_dot(w, w)", "cast(d, 'int64')", "cast(d, 'float64')", "cast(d, 'float32')",
    "cast(d, 'string')", "cast(d, 'decimal(4)')", "cast(e, 'decimal(2)')", "cast(e, 'decimal(18)')",
    "cast(i, 'decimal(3)')", "cast(x, 'decimal(2)')", "cast(f, 'decimal(1)')", "cast(number, 'decimal(2)')",
    "cast(p, 'decimal(2)')", "cast(decimals, 'list<float64>')", "cast(decimals, 'list<int64>')",
    "cast(floats, 'list<decimal(2)>')", "cast(prices, 'map<string,float64>')", "cast(texts, 'list<decimal(1)>')",
    "cast(ints, 'list<decimal(2)>')", "len(cast(w, 'list<string>'))",
    "hit(s, w)", "s in w", "combo(w, s)", "overlap(texts, w, 'common')", "lookup(m, w, 'list')", "contains(w, s)",
    "lookup_id(cast(w, 'list<string>'), vocabularies.v)", "unique(w)", "join(w, ',')", "kv_dot(m, texts)",
]  # fmt: skip
ZONED = ["hour(a, tz='America/New_York')", "day_of_week(a, tz='Asia/Shanghai')"]
CLOSE = ["log(x)", "log1p(x)", "log10(x)", "exp(x)", "x ** y", "x ** 0.5", "pow(2.0, x)", "log(floats)"]
LOOSE = ["sigmoid(x)", "haversine(x, y, 1.0, 2.0)"]


def scope() -> Scope:
    names: dict[str, Node] = {name: column(name, parse_type(text), "request") for name, text in FIELDS.items()}
    names["vocabularies.v"] = resource("vocabularies.v", from_terms("v", ["a", "é", "7", "true", "中文"]))
    names["buckets.b"] = resource("buckets.b", (-1.0, 0.0, 0.5, 250.0))
    return Scope(names, {}, column("request.time", TIMESTAMP, "request"))


SCOPE = scope()


def distance(found: float, wanted: float) -> int:
    """Units in the last place between two floats."""
    a, b = (struct.unpack("<q", struct.pack("<d", value))[0] for value in (found, wanted))
    a, b = (value if value >= 0 else -(2**63) - value for value in (a, b))
    return abs(a - b)


def agree(found: Any, wanted: Any, ulps: int) -> bool:
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(agree(a, b, ulps) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return set(found) == set(wanted) and all(agree(found[key], wanted[key], ulps) for key in wanted)
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, float) and found != wanted:
        return distance(found, wanted) <= ulps
    return bool(found == wanted)


def compare(text: str, row: dict[str, Any], ulps: int) -> None:
    node = compile_expression(text, SCOPE)
    wanted = interpret(node, row)
    types = {name: SCOPE.names[name].type if name in SCOPE.names else TIMESTAMP for name in row}
    frame = pl.DataFrame([series(name, [value], types[name]) for name, value in row.items()])
    for size in (1, 3):
        result = pl.concat([frame] * size).select(lower(node).alias("r"))["r"]
        assert result.dtype == node.type.polars
        assert len(result) == size
        for value in (result.cast(pl.Int64) if node.type == TIMESTAMP else result).to_list():
            found = from_frame_value(value, node.type)
            assert agree(found, wanted, ulps), f"{text} of {row}: Polars {found!r}, reference {wanted!r}"


def rows_for(text: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of the columns that an expression names."""
    node = compile_expression(text, SCOPE)
    names = sorted(columns_of(node))
    return st.fixed_dictionaries({name: STRATEGIES.get(name, TIME) for name in names} or {"i": INT})


def columns_of(node: Node) -> set[str]:
    found = {node.name} if hasattr(node, "name") else set()
    for arg in getattr(node, "args", ()):
        found |= columns_of(arg)
    return found


COMPARED = [*((t, 0) for t in [*EXACT, *ZONED]), *((t, 2) for t in CLOSE), *((t, 64) for t in LOOSE)]


@pytest.mark.parametrize(("text", "ulps"), COMPARED)
def test_lowering_equals_reference(text: str, ulps: int) -> None:
    run_examples(text, ulps, 10)


@pytest.mark.full
@pytest.mark.parametrize(("text", "ulps"), COMPARED)
def test_lowering_equals_reference_in_full(text: str, ulps: int) -> None:
    run_examples(text, ulps, 150)


def run_examples(text: str, ulps: int, count: int) -> None:
    @given(row=rows_for(text))
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def run(row: dict[str, Any]) -> None:
        if text in ZONED and isinstance(row.get("a"), int) and not 0 <= row["a"] < 1_700_000_000_000:
            row = {"a": row["a"] % 1_700_000_000_000}  # where both zone databases agree
        compare(text, row, ulps)

    run()


def test_every_operator_is_compared() -> None:
    seen: set[str] = set()

    def visit(node: Any) -> None:
        if hasattr(node, "operator"):
            seen.add(node.operator.name)
        for arg in getattr(node, "args", ()):
            visit(arg)

    for text in [*EXACT, *ZONED, *CLOSE, *LOOSE]:
        visit(compile_expression(text, SCOPE))
    assert set(OPERATORS) - seen == {"newest"}  # what max_length becomes; slice's lowering


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=list(OPERATORS))
def test_examples_run(operator: Operator) -> None:
    reference = operator.reference
    doc = reference.__doc__
    assert doc
    names = {**vars(sys.modules[reference.__module__])}
    test = doctest.DocTestParser().get_doctest(doc, names, operator.name, None, None)
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert not report, "".join(report)


def test_families_are_small_and_named() -> None:
    for family in FAMILIES:
        assert family.__doc__
