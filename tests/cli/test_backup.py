"""A backup holds all state and comes back whole; what is damaged, running or in the way is refused."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from cli.preflight import only_instance
from saima.errors import StoreError
from saima.settings import settings
from saima.stores import open_online, open_registry, open_tables
from saima.stores.backup import restore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a bit of everything, which nobody has open."""
    use(tmp_path / "home", monkeypatch)
    store = open_online(0, writer=True)
    with store.write() as transaction:
        transaction.put_many("t", [("k", b"v")])
        transaction.set_position({0: 7})
    store.close()
    registry = open_registry()
    registry.put_fact("trained", {"at": 1})
    registry.publish("shop", "xgb", "d", "shop:1", str(tmp_path / "home" / "bentoml" / "shop"), {})
    registry.close()
    open_tables().append("events/viewed", pl.DataFrame({"time": [1, 2]}))
    yield tmp_path / "home"
    settings.cache_clear()


def use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIMA_HOME", str(home))
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(saima, list(arguments))


@pytest.mark.parametrize("name", ["state.tar", "state.tar.gz"])
def test_everything_comes_back_in_another_home(
    home: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("backup", str(tmp_path / name))
    assert made.exit_code == 0, made.output
    use(tmp_path / "other", monkeypatch)
    ran = run("restore", str(tmp_path / name))
    assert ran.exit_code == 0, ran.output
    store = open_online(0, writer=True)
    with store.read() as read:
        assert read.get_many("t", ["k"]) == [b"v"]
        assert read.position() == {0: 7}
    store.close()
    registry = open_registry()
    assert registry.fact("trained") == {"at": 1}
    assert registry.bundle(1).path == str(tmp_path / "other" / "bentoml" / "shop")
    registry.close()
    assert open_tables().scan("events/viewed").collect()["time"].to_list() == [1, 2]
    assert list(tmp_path.glob(".*")) == list(tmp_path.glob("*.partial")) == []


def test_what_runs_or_is_in_the_way_is_refused(home: Path, tmp_path: Path) -> None:
    with only_instance(home):
        assert "already runs" in run("backup", str(tmp_path / "a.tar")).output
    store = open_online(0, writer=True)
    assert "already has a writer" in str(run("backup", str(tmp_path / "a.tar")).exception)
    store.close()
    assert "lies inside" in str(run("backup", str(home / "a.tar")).exception)
    assert run("backup", str(tmp_path / "a.tar")).exit_code == 0
    assert "is there already" in str(run("backup", str(tmp_path / "a.tar")).exception)
    assert "is not empty" in str(run("restore", str(tmp_path / "a.tar")).exception)


def test_a_damaged_backup_leaves_the_home_alone(home: Path, tmp_path: Path) -> None:
    assert run("backup", str(tmp_path / "a.tar")).exit_code == 0
    whole = (tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        member = archive.getmember("home/registry.db")
    at = member.offset_data + member.size // 2
    (tmp_path / "changed.tar").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(StoreError, match=r"changed.tar: 'registry.db' is not what was backed up"):
        restore(tmp_path / "changed.tar", tmp_path / "other")
    (tmp_path / "short.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"short.tar is no whole backup"):
        restore(tmp_path / "short.tar", tmp_path / "other")
    assert not (tmp_path / "other").exists()
