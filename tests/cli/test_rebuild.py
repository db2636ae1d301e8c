"""An online store is set aside, unless somebody writes to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.errors import StoreError
from saima.settings import Settings, settings
from saima.stores import open_online


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_the_store_is_set_aside_with_what_it_held(home: Path) -> None:
    store = open_online(0, writer=True)
    with store.write() as txn:
        txn.put_many("t", [("k", b"v")])
    with pytest.raises(StoreError, match="already has a writer"):
        CliRunner().invoke(saima, ["rebuild"], catch_exceptions=False)
    store.close()
    ran = CliRunner().invoke(saima, ["rebuild"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert not (home / "online" / "shard-0").exists()
    (aside,) = (home / "online").glob("shard-0.set-aside-*")
    assert (aside / "data.mdb").stat().st_size > 0


def test_the_stores_of_all_shards_are_set_aside_or_none(home: Path) -> None:
    shards = [open_online(shard, Settings(home=home, shards=2), writer=True) for shard in range(2)]
    shards[0].close()
    with pytest.raises(StoreError, match="already has a writer"):
        CliRunner().invoke(saima, ["rebuild"], catch_exceptions=False)
    assert (home / "online" / "shard-0").exists()
    shards[1].close()
    one = CliRunner().invoke(saima, ["rebuild", "--shard", "1"], catch_exceptions=False)
    assert one.exit_code == 0, one.output
    assert sorted(path.name[:7] for path in (home / "online").glob("shard-*")) == ["shard-0", "shard-1"]
    assert (home / "online" / "shard-0").exists()
    assert not (home / "online" / "shard-1").exists()
    rest = CliRunner().invoke(saima, ["rebuild"], catch_exceptions=False)
    assert rest.exit_code == 0, rest.output
    assert not (home / "online" / "shard-0").exists()


def test_without_a_store_it_says_so(home: Path) -> None:
    ran = CliRunner().invoke(saima, ["rebuild"])
    assert ran.exit_code == 1
    assert "there is no online store" in ran.output
