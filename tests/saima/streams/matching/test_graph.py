"""Rules from and to the graph of dynamic Flink CEP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from saima.events import Event
from saima.streams.matching import RuleError, read_rule
from saima.streams.matching.graph import export_graph, import_graph

from .rules import rules, run, streams

START = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["LOOPING"], "untilCondition": None}
ONE = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"], "times": None, "untilCondition": None}
GRAPH: dict[str, Any] = {
    "name": "end",
    "quantifier": ONE,
    "condition": None,
    "nodes": [
        {
            "name": "end",
            "quantifier": ONE,
            "condition": {"className": "EndCondition", "type": "CLASS"},
            "type": "ATOMIC",
        },
        {
            "name": "start",
            "quantifier": {**START, "times": {"from": 3, "to": 3, "windowTime": None}},
            "condition": {"expression": "action == 0 || action == 2", "type": "AVIATOR"},
            "type": "ATOMIC",
        },
    ],
    "edges": [{"source": "start", "target": "end", "type": "SKIP_TILL_NEXT"}],
    "window": {"type": "FIRST_AND_LAST", "time": {"unit": "MINUTES", "size": 10}},
    "afterMatchStrategy": {"type": "SKIP_PAST_LAST_EVENT", "patternName": None},
    "type": "COMPOSITE",
    "version": 2,
}


def test_a_graph_as_a_rule() -> None:
    document = import_graph(GRAPH, "r", {"EndCondition": ["!=", "action", 1]})
    assert document == {
        "id": "r",
        "version": 2,
        "pattern": [
            {"name": "start", "where": "action == 0  or  action == 2", "times": [3, None], "inner": "relaxed"},
            {"name": "end", "where": ["!=", "action", 1], "after": "followed_by"},
        ],
        "within_ms": 600_000,
        "skip": {"to": "past_last"},
    }
    events = [Event("k", "e", i, i, f"e{i}", {"action": action}) for i, action in enumerate([0, 2, 1, 0, 5])]
    (match,) = run([document], events, 10)
    assert match.ids == ("e0", "e1", "e3", "e4")
    assert match.version == 2


def test_a_rule_of_code_needs_a_condition_for_it() -> None:
    with pytest.raises(
        RuleError, match=r"step 'end', \$\.nodes\[0\]\.condition: the condition is code, 'EndCondition'"
    ):
        import_graph(GRAPH, "r")


def test_a_graph_that_is_no_chain() -> None:
    with pytest.raises(RuleError, match=r"\$\.edges: the nodes are not one chain"):
        import_graph({**GRAPH, "edges": []}, "r")


def test_not_a_graph() -> None:
    with pytest.raises(RuleError, match="no graph of a pattern: KeyError 'nodes'"):
        import_graph({"name": "x"}, "r")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"where": [">", ["sum", "a.x"], 3]}, "no term over accepted events"),
        ({"where": "smooth(x, y, 1, 1) > 2"}, "does not know the operator"),
        ({"gap_ms": [10, None]}, "no lower bound of gap_ms"),
        ({"gap_ms": 10}, "one window"),
    ],
)
def test_what_the_graph_cannot_say(change: dict[str, Any], text: str) -> None:
    steps = [{"name": "a"}, {"name": "b", "after": "next", **change}]
    with pytest.raises(RuleError, match=text):
        export_graph(read_rule({"id": "r", "within_ms": 20, "pattern": steps}))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), streams())
def test_a_rule_through_a_graph_matches_the_same(rule: dict[str, Any], events: list[Event]) -> None:
    again = import_graph(export_graph(read_rule(rule)), "rule")
    assert run([again], events, 100) == run([rule], events, 100)
    assert export_graph(read_rule(again)) == export_graph(read_rule(rule))
