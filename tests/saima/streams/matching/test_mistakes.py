"""Every kind of mistake in a rule: the error names the rule, the step and the JSON path."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from saima.streams.matching import RuleError, RuleSet, read_rule

DATA = json.loads((Path(__file__).parent / "mistakes.json").read_text("utf-8"))


def mistaken(mistake: dict[str, Any]) -> Any:
    """The base rule with the mistake in it."""
    rule = copy.deepcopy(DATA["base"])
    for place, value in mistake.get("set", {}).items():
        if place == "$":
            return value
        owner, name = owner_of(rule, place)
        owner[name] = value
    for place in mistake.get("drop", []):
        owner, name = owner_of(rule, place)
        del owner[name]
    return rule


def owner_of(rule: Any, place: str) -> tuple[Any, Any]:
    *parts, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in parts:
        rule = rule[part]
    return rule, last


def test_the_base_has_no_mistake() -> None:
    read_rule(DATA["base"])
    assert len(DATA["mistakes"]) >= 90


@pytest.mark.parametrize("mistake", DATA["mistakes"], ids=lambda one: json.dumps(one.get("set") or one["drop"])[:60])
def test_a_mistake_is_named(mistake: dict[str, Any]) -> None:
    with pytest.raises(RuleError) as caught:
        read_rule(mistaken(mistake), mistake.get("fields"))
    found = [problem for problem in caught.value.problems if problem.path == mistake["path"]]
    assert found, str(caught.value)
    assert any(mistake["text"] in problem.message for problem in found), str(caught.value)
    if "step" in mistake:
        assert all(problem.step == mistake["step"] for problem in found)
    assert mistake["path"] in str(caught.value)


def test_all_mistakes_of_a_rule_are_told_together() -> None:
    rule = copy.deepcopy(DATA["base"])
    rule["pattern"][0]["where"] = ["=", "x", 1]
    rule["pattern"][1]["where"] = [">", ["sum", "z.x"], 1]
    with pytest.raises(RuleError) as caught:
        read_rule(rule)
    assert [problem.step for problem in caught.value.problems] == ["a", "b"]


def test_two_rules_of_one_id() -> None:
    with pytest.raises(RuleError, match=r"rule 'r', \$\.id: the id is taken"):
        RuleSet.read([DATA["base"], DATA["base"]])
