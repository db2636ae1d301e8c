"""`saima log` on a real log: whole, damaged, repaired."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from saima.events import Event, Topic, to_table
from saima.settings import settings
from saima.stores import open_log

TOPIC = Topic("clicks", {"x": pa.int64()})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def fill() -> None:
    log = open_log()
    for number in range(3):
        log.append("clicks", to_table(TOPIC, [Event("k", "clicks", number, 0, str(number), {"x": number})], 1))
    log.register("worker/0", {0: 1})
    log.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(saima, ["log", *arguments])


def test_a_whole_log(home: Path) -> None:
    fill()
    status = run("status")
    assert "offsets 1 to 3, 3 segments" in status.output
    assert "worker/0 has read to 1, 2 behind" in status.output
    assert "the log is whole" in run("check").output
    assert "nothing was changed" in run("repair", "--yes").output


def test_a_damaged_segment_is_named_and_set_aside(home: Path) -> None:
    fill()
    with sqlite3.connect(home / "log" / "events.db") as connection:
        connection.execute("UPDATE segments SET data = zeroblob(length(data)) WHERE last = 2")
    connection.close()
    check = run("check")
    assert check.exit_code == 1
    assert "offsets 2 to 2 clicks" in check.output
    assert "saima log repair" in check.output
    assert "1 runs set aside" in run("repair", "--yes").output
    assert run("check").exit_code == 0


def test_without_a_log(home: Path) -> None:
    assert "there is no event log" in run("status").output


def test_trim_refuses_what_is_unread(home: Path) -> None:
    fill()
    assert run("trim", "4").exit_code == 1
    assert "begins after offset 1" in run("trim", "2").output
