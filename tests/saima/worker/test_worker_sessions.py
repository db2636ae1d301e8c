"""Sessions in the worker: the linker's trees over events in order, the same in every split and after restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.errors import DeclarationError
from saima.streams.linking import Linker, parse
from saima.streams.ordering import ORDER
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py
MINUTE = 60_000
VISITS = "gap: 240000\nlenient: true\nentries:\n  viewed: {level: page, name: item}\n"


def declare(home: Home, text: str = VISITS, name: str = "visits") -> None:
    folder = home.algorithms / "shop" / "sessions"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def run(home: Home, rows: int, restarts: bool = False) -> pl.DataFrame:
    home.run(rows, restarts)
    found: pl.DataFrame = home.tables.scan("sessions/visits").collect().sort("offset", "node_id")
    return found


def test_trees_do_not_depend_on_batches_and_restarts(home: Home, another: Home, tmp_path: Path) -> None:
    third = type(home)(tmp_path / "third", home.algorithms)
    another.history()
    third.history()
    declare(home)
    for one in (home, another, third):
        one.traffic(0, 30)
    whole = run(home, 100_000)
    assert whole.height > 100
    assert set(whole["level"]) == {"session", "app", "scene", "page"}
    assert run(another, 7).equals(whole)
    assert run(third, 40, restarts=True).equals(whole)
    third.close()
    views = home.tables.scan("events/viewed").filter((pl.col("offset") > 0) & ~pl.col("late")).collect()
    watermark = int(views["time"].to_numpy().max()) - 10 * MINUTE
    linker = Linker(
        parse({"gap": 240_000, "lenient": True, "entries": {"viewed": {"level": "page", "name": "item"}}}, "")
    )
    wanted = [linker.process_batch(views.filter(pl.col("time") < watermark).sort(*ORDER)), linker.expire(watermark)]
    named = pl.concat(wanted).sort("node_id").rename({"known": "time"})
    assert whole.sort("node_id").select(named.columns).equals(named)


def test_sessions_of_an_old_declaration_end(home: Home) -> None:
    declare(home)
    home.traffic(0, 10)
    before = run(home, 50)
    declare(home, VISITS.replace("240000", "120000"))
    home.declare()
    home.traffic(10, 20)
    told = home.run()["sessions"]["visits"]
    after = home.tables.scan("sessions/visits").collect()
    assert after.height > before.height
    assert after.n_unique("node_id") == after.height, "no node twice"
    assert told["open"] > 0
    whole = after.filter(level="session").sort("key", "time")
    assert whole.height > before.filter(level="session").height


def test_a_wrong_declaration_is_named(home: Home) -> None:
    declare(home, VISITS.replace("viewed", "vewed"))
    with pytest.raises(DeclarationError, match=r"no source 'vewed' .did you mean 'viewed'"):
        Worker(home.settings)
    declare(home, "gap: -1\nentries: {}\n")
    with pytest.raises(DeclarationError, match=r"shop/sessions/visits.yaml: gap: .*; entries: "):
        Worker(home.settings)
