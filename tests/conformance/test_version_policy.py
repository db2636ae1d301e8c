"""The version policy, case by case, in every order of the rows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from saima.host.slot import Mode, Version, next_action

from .conftest import read_cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(metafunc.config, "version_policy.json")
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def simulate(versions: list[Version], mode: Mode) -> tuple[list[int], int, int]:
    actions, least = 0, len([v for v in versions if v.state == "ready"])
    while True:
        action = next_action(versions, mode)
        after = {"load": "ready", "unload": "gone"}.get(action.action)
        if after:
            actions += 1
            versions = [replace(v, state=after) if v.version == action.version else v for v in versions]
        else:
            settled = [
                replace(v, state={"loading": "ready", "draining": "gone"}.get(v.state, v.state)) for v in versions
            ]
            if settled == versions:
                return sorted(v.version for v in versions if v.state == "ready"), actions, least
            versions = settled
        least = min(least, len([v for v in versions if v.state == "ready"]))


def test_version_policy(case: dict[str, Any]) -> None:
    kind = case.get("kind", "ask")
    assert kind in ("ask", "simulate"), f"unknown kind of case '{kind}'"
    rows, expect = [Version(**row) for row in case["versions"]], case["expect"]
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        if kind == "simulate":
            ready, actions, least = simulate(list(rows), case["mode"])
            assert ready == sorted(expect.get("ready", ready))
            assert actions <= expect.get("max_actions", actions)
            assert least >= expect.get("min_ready", least)
            continue
        found = next_action(rows, case["mode"])
        assert found == next_action(rows, case["mode"])
        assert found.action == expect["action"]
        right = expect.get("version")
        assert found.version in (right if isinstance(right, list) else [right])
