"""`saima replay`, `stress` and `shadow` over a home with a journal and a published bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import SaimaError
from saima.host.api import app
from saima.host.host import Host
from saima.routing.deployment import read_document, refresh, write
from saima.settings import Settings
from saima.settings import settings as process_settings
from saima.stores import open_registry, open_tables
from saima.stores.interfaces import BundleRow
from tests.saima.host.conftest import eventually
from tests.saima.host.test_api import serving
from tests.serving.test_replay import answered


@pytest.fixture(scope="module")
def records(settings: Settings, row: BundleRow, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return answered(settings, row, tmp_path_factory.mktemp("answered"), 30, 0.5)


@pytest.fixture
def home(
    settings: Settings, row: BundleRow, records: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A home of which the records are the journal."""
    made = settings.model_copy(update={"home": tmp_path})
    registry = open_registry(made)
    number = registry.publish("small", "trees", row.digest, row.tag, row.path, {})
    write(registry, refresh("small", "trees", number), "test", "test")
    journal = pl.DataFrame(
        {
            "offset": range(1, len(records) + 1),
            "shadow": [False] * len(records),
            "whole": [True] * len(records),
            "record": [json.dumps({**one, "version": number}) for one in records],
        }
    )
    open_tables(made).append("small/journal", journal)
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(settings.algorithms))
    process_settings.cache_clear()
    yield made
    process_settings.cache_clear()


def run(*arguments: str, code: int = 0) -> str:
    ran = CliRunner().invoke(saima, arguments, catch_exceptions=False)
    assert ran.exit_code == code, ran.output
    return ran.stdout


def test_replay_by_the_bundles_that_answered(home: Settings, tmp_path: Path) -> None:
    (found,) = json.loads(run("replay", "small", "--strict", "--json")).values()
    assert (found["requests"], found["exact"], found["largest_difference"]) == (30, 30, 0.0)
    page = tmp_path / "report.html"
    assert "30 (100.00%)" in run("replay", "small", "1", "--requests", "30", "--html", str(page))
    assert "No score differs" in page.read_text()
    (some,) = json.loads(run("replay", "small", "--requests", "7", "--json")).values()
    assert some["requests"] == 7


def test_strict_tells_of_a_difference(home: Settings, records: list[dict[str, Any]]) -> None:
    spoilt = {**records[0], "scores": [records[0]["scores"][0] + 1.0], "version": 1, "trace": "spoilt"}
    row = pl.DataFrame({"offset": [99], "shadow": [False], "whole": [True], "record": [json.dumps(spoilt)]})
    open_tables(home).append("small/journal", row)
    (found,) = json.loads(run("replay", "small", "--strict", "--json", code=1)).values()
    assert (found["exact"], found["largest_difference"], found["where"]) == (30, 1.0, "spoilt")


def test_what_is_not_there_is_named(home: Settings) -> None:
    for arguments, told in ((("replay", "big"), "no journal of 'big'"), (("replay", "small", "9"), "no bundle 9"),
                            (("stress", "big"), "no journal of 'big'"), (("shadow", "big"), "nothing of 'big'"),
                            (("shadow", "small", "tree"), "did you mean 'trees'")):  # fmt: skip
        with pytest.raises(SaimaError, match=told):
            run(*arguments)


def test_stress_reports_what_came_back(home: Settings) -> None:
    host = Host(home)
    host.start()
    eventually(lambda: host.ready, 60)
    with serving(app(host)) as client:
        found = json.loads(
            run("stress", "small", "--url", str(client.base_url), "--rate", "40", "--seconds", "2", "--json")
        )
        text = run("stress", "small", "--url", str(client.base_url), "--rate", "40", "--seconds", "1")
    answers = host.status()["answers"]
    host.stop()
    assert found["sent"] == sum(found["answers"].values()) > 30  # a busy machine turns some away, and they are told
    assert found["answers"]["200"] > 0
    assert found["latency_ms"]["p50"] > 0
    assert "answered ms" in text
    assert answers > found["sent"]


def test_shadow_is_set_shown_and_taken_away(home: Settings) -> None:
    registry = open_registry(home)
    write(registry, refresh("small", "spare", 1), "test", "test")
    assert "casts no shadow" in run("shadow", "small")
    run("shadow", "small", "spare", "--reason", "a look")
    assert registry.deployment().reason == "a look"
    assert json.loads(run("shadow", "small", "--json"))["shadow"] == "spare"
    run("shadow", "small", "--off")
    assert read_document(registry.deployment().document).algorithms["small"].shadow is None


@pytest.mark.parametrize("command", ["deploy", "status", "rollback", "shadow", "replay", "stress", "traffic", "key"])
def test_every_command_has_its_help(command: str) -> None:
    assert "Usage:" in run(command, "--help")
