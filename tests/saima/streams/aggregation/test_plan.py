"""Definitions in one form: what is equal, what shares tiles, what must not, and what the explanation says."""

from __future__ import annotations

from typing import Any

import pytest

from saima.errors import DeclarationError
from saima.features.declaration import Declaration
from saima.features.windows.canonical import canonical, conjuncts
from saima.streams.aggregation.definition import Definition, definitions, from_document
from saima.streams.aggregation.explain import explain, subsets
from saima.streams.aggregation.plan import Plan, plan

SOURCES = {"s": {"key": "k", "fields": {"k": "string", "j": "string", "v": "int64", "f": "float64", "t": "string"}}}
BASE = {"from": "s", "key": "k", "value": "v", "measures": ["sum"], "windows": ["1h"]}


def declared(**aggregates: dict[str, Any]) -> Declaration:
    return Declaration.model_validate(
        {
            "algorithm": "x", "sources": SOURCES, "request": {"fields": {"k": "string"}},
            "aggregates": {name: {**BASE, **found} for name, found in aggregates.items()},
            "features": {"f": {"value": "1", "dtype": "int64"}},
        }
    )  # fmt: skip


def found(**aggregates: dict[str, Any]) -> list[Definition]:
    return definitions("x", declared(**aggregates))


def planned(**aggregates: dict[str, Any]) -> Plan:
    declaration = declared(**aggregates)
    return plan(definitions("x", declaration), declaration.sources)


@pytest.mark.parametrize(
    "texts",
    [
        ("v > 1 and t == 'x'", "'x' == t and 1 < v", "(t=='x') and ((v > 1.0))", "v > 1 and (t == 'x' and v > 1)"),
        ("v + 2 >= v * 3", "v * 3 <= 2 + v"),
        ("not not (v in [1, 2])", "v in [1,2]"),
        ("1 < v < 5", "v < 5 and v > 1"),
        ("f if v > 0 else 1.0", "(f) if 0 < v else 1.0"),
        ('concat(t, "a") != t', "t != concat(t, 'a')"),
        ("clip(v, low=1, high=2) > 0", "0 < clip(v, high=2, low=1)"),
        ("t[0] == 'a'", "'a' == t[0]"),
    ],
)
def test_conditions_of_one_meaning_have_one_form(texts: tuple[str, ...]) -> None:
    (form,) = {canonical(text) for text in texts}
    assert canonical(form) == form


@pytest.mark.parametrize(
    ("one", "other"),
    [("v - 1 > 0", "1 - v > 0"), ("v / 2 > 1", "2 / v > 1"), ("v > 1", "v >= 1"), ("t == 'a b'", "t == 'ab'"),
     ("v + 1.0 > f", "v + 1 > f"), ("(v + 1) * 2 > 0", "v + 1 * 2 > 0"), ("t == '1'", "v == 1"), ("-v > 1", "v > 1")],
)  # fmt: skip
def test_conditions_that_could_differ_have_two_forms(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_equal_definitions_have_one_digest_whatever_their_names_and_units() -> None:
    one, other = found(
        a={"windows": ["1h", "2d"], "measures": ["sum", "mean"], "where": "v > 1"},
        b={"windows": ["48h", "60m", "1h"], "measures": ["mean", "sum"], "where": "1 < v", "k": 3},
    )
    assert one.digest == other.digest
    assert from_document(one.document()) == one
    different = found(
        a={}, b={"measures": ["max"]}, c={"hop": "1m"}, d={"key": "j"}, e={"where": "v > 2"},
        f={"value": "t", "measures": ["count"]},
    )  # fmt: skip
    assert len({each.digest for each in different}) == 6


def test_a_mean_reads_the_sum_and_a_coarser_window_the_finer_tiles() -> None:
    made = planned(
        a={"measures": ["mean"], "windows": ["1h"]},
        b={"measures": ["sum", "count"], "windows": ["24h"]},
        c={"key": "j"},
    )
    assert len(made.groups) == 2
    shared = next(group for group in made.groups.values() if group.key == ("k",))
    assert shared.measures == {"mean", "sum", "count"}
    assert shared.hops == (300_000, 3_600_000)


def test_what_would_change_a_value_is_not_shared() -> None:
    inexact = {"value": "f", "exact": False}
    assert len(planned(a={**inexact}, b={**inexact, "windows": ["1h", "24h"]}).groups) == 2
    assert (
        len(planned(a={**inexact, "measures": ["max"]}, b={**inexact, "measures": ["min"], "windows": ["24h"]}).groups)
        == 1
    )
    sketch = {"value": "t", "measures": ["approx_distinct"]}
    assert len(planned(a={**sketch, "error": 0.01}, b={**sketch, "error": 0.02}).groups) == 2


def test_duplicates_add_no_state() -> None:
    distinct = {f"d{i}": {"where": f"v > {i}"} for i in range(20)}
    copies = {f"c{i}": {"where": f"{i % 20} < v", "windows": ["60m"]} for i in range(180)}
    few, many = planned(**distinct), planned(**distinct, **copies)
    assert few.groups == many.groups
    assert few.digest == many.digest
    assert len(many.answers) == 20
    assert len(many.definitions) == 200


def test_several_hops_of_one_definition_are_answered_together() -> None:
    made = planned(a={"windows": ["1h", "24h", "30d"]})
    (digest,) = made.answers
    assert sorted((ask.window.width, ask.window.hop) for answer in made.answers[digest] for ask in answer.asks) == [
        (3_600_000, 300_000), (86_400_000, 3_600_000), (30 * 86_400_000, 86_400_000),
    ]  # fmt: skip


def test_a_duplicate_is_checked_as_if_it_were_alone() -> None:
    sums = {"value": "f", "measures": ["sum"]}
    with pytest.raises(DeclarationError, match=r"x\.b.*exact: false"):
        planned(a={**sums, "exact": False}, b={**sums, "exact": True})
    with pytest.raises(DeclarationError, match=r"aggregates\.a"):
        found(a={"where": "v >"})


def test_the_explanation_names_what_is_shared_equal_and_a_part() -> None:
    declaration = declared(
        a={"measures": ["mean"]}, b={"measures": ["mean"], "windows": ["60m"]}, c={"where": "v > 1"},
        d={"where": "t == 'x' and 1 < v", "windows": ["24h"]}, e={"key": "j"},
    )  # fmt: skip
    made = plan(definitions("x", declaration, {"e": "batch"}), declaration.sources)
    lines = explain(made)
    assert lines[0] == "5 definitions, 4 of them different, in 3 states"
    assert "equal: x.a = x.b" in lines
    assert "not computed in the stream: x.e (tier batch)" in lines
    assert set(subsets(made)) == {("x.c", "x.a"), ("x.d", "x.a"), ("x.d", "x.c")}
    assert any("keeps count, sum of v" in line for line in lines)
    assert conjuncts("v > 1 and t == 'x'") > conjuncts("1 < v")


def test_apart_algorithms_share_equal_states_alone() -> None:
    """Whatever an algorithm declares beside, the tables of another stay the same."""
    wide = declared(day={"windows": ["1h", "24h"]})
    every = [
        *definitions("shop", wide),
        *definitions("other", declared(hour={"measures": ["mean"]})),
        *definitions("third", declared(hour={"windows": ["60m"]})),
    ]
    together, apart = plan(every, wide.sources), plan(every, wide.sources, across=False)
    assert (len(together.groups), len(apart.groups)) == (1, 2)
    assert set(plan(every[1:], wide.sources, across=False).groups) < set(apart.groups)
    assert sorted(map(sorted, apart.owners.values())) == [["other", "third"], ["shop"]]
    lines = "\n".join(explain(apart))
    assert "read by 2" in lines
    assert "read by 1" in lines
