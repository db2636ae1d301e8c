"""Status, deploy and rollback on a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import saima
from cli.status import lines
from saima.errors import SaimaError
from saima.routing.deployment import read_document, refresh, write
from saima.settings import settings
from saima.stores import open_registry
from saima.stores.interfaces import Registry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    settings.cache_clear()
    opened = open_registry()
    for number in range(1, 4):
        opened.publish("demo", "xgb", f"{number:064d}", f"xgb-{number}", f"/bundles/{number}", {})
    for number in (1, 2):
        write(opened, refresh("demo", "xgb", number), "test", f"refresh {number}")
    yield opened
    opened.close()
    settings.cache_clear()


def run(*arguments: str) -> str:
    ran = CliRunner().invoke(saima, arguments, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_programs_get_json(registry: Registry) -> None:
    listed = json.loads(run("deploy", "demo", "--json"))
    assert [(row["publication"], row["state"]) for row in listed] == [(1, "standby"), (2, "routed"), (3, "")]
    assert json.loads(run("deploy", "demo", "3", "--json"))["routed"] == 3
    back = json.loads(run("rollback", "demo", "--reason", "bad", "--json"))
    assert (back["routed"], back["quarantined"], back["hold"]) == (2, 3, "bad")
    assert json.loads(run("rollback", "demo", "--lift", "--json"))["lifted"] == ["xgb"]


def test_back_on_hold_and_lifted(registry: Registry) -> None:
    assert "routes 1 instead of 2, on hold: it is bad" in run("rollback", "demo", "--reason", "it is bad")
    state = read_document(registry.deployment().document).lineage("demo", "xgb")
    assert (state.routed, state.hold, state.quarantined) == (1, "it is bad", [2])
    assert registry.marks("rollback")[-1]["publication"] == 2
    assert "ON HOLD: it is bad" in run("status")
    with pytest.raises(SaimaError, match="on hold"):
        run("deploy", "demo", "3")
    assert "takes new bundles again" in run("rollback", "demo", "--lift")
    with pytest.raises(SaimaError, match="quarantined"):
        run("deploy", "demo", "2")
    assert "routes 3" in run("deploy", "demo", "3")


def test_what_cannot_go_back_says_so(registry: Registry) -> None:
    with pytest.raises(SaimaError, match="nothing of 'other' is deployed; deployed: demo"):
        run("rollback", "other")
    with pytest.raises(SaimaError, match="is on hold"):
        run("rollback", "demo", "--lift")
    run("rollback", "demo")
    with pytest.raises(SaimaError, match="none has a standby"):
        run("rollback", "demo")


def test_deploy_lists_what_is_published(registry: Registry) -> None:
    listed = run("deploy", "demo").splitlines()
    assert len(listed) == 3
    assert [line.split()[-1] for line in listed if "routed" in line or "standby" in line] in (
        ["routed", "standby"],
        ["standby", "routed"],
    )
    with pytest.raises(SaimaError, match="has no publication 9"):
        run("deploy", "demo", "9")


def test_status_for_a_program_and_of_a_silent_process(registry: Registry) -> None:
    registry.set_status("worker/0", {"state": "running", "position": {"0": 7}, "lag_events": 2, "watermark": 0})
    found = json.loads(run("status", "--json"))
    assert found["epoch"] == 2
    updated = found["workers"]["worker/0"]["updated"]
    assert any("worker/0 up running" in line for line in lines(found, updated + 10))
    assert any("worker/0 SILENT for 60 s" in line for line in lines(found, updated + 60_000))
