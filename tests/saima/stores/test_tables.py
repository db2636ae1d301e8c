from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.errors import Conflict, StoreError
from saima.settings import Settings
from saima.stores import open_tables
from saima.stores.tables import DeltaTables

DRAINER = """
import sys
import polars as pl
from pathlib import Path
from saima.errors import Conflict
from saima.stores.tables import DeltaTables
tables, app, last = DeltaTables(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
while (number := tables.app_version("samples", app) + 1) <= last:
    try:
        tables.append("samples", pl.DataFrame({"app": [app], "number": [number]}), app, number)
    except Conflict:
        pass
"""


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return open_tables(Settings(home=tmp_path))


def rows(*values: int, day: str = "2013-01-01") -> pl.DataFrame:
    return pl.DataFrame({"v": values, "day": [day] * len(values)}, schema={"v": pl.Int64, "day": pl.String})


def values(tables: DeltaTables, name: str = "t", version: int | None = None) -> list[int]:
    return sorted(tables.scan(name, version).collect()["v"].to_list())


def test_append_makes_the_table_partitioned_by_day(tables: DeltaTables) -> None:
    assert not tables.exists("events/a")
    assert tables.append("events/a", rows(1, 2))
    assert tables.append("events/a", rows(3, day="2013-01-02"))
    assert tables.exists("events/a")
    assert tables.names() == ["events/a"]
    assert values(tables, "events/a") == [1, 2, 3]
    assert (tables.path("events/a") / "day=2013-01-02").is_dir()


def test_a_number_of_an_application_counts_once(tables: DeltaTables) -> None:
    assert tables.app_version("t", "shard-0") == -1
    assert tables.append("t", rows(1), "shard-0", 5)
    assert not tables.append("t", rows(1), "shard-0", 5)
    assert not tables.append("t", rows(1), "shard-0", 4)
    assert tables.append("t", rows(2), "shard-1", 4)
    assert tables.append("t", rows(), "shard-0", 9)
    assert (tables.app_version("t", "shard-0"), tables.app_version("t", "shard-1")) == (9, 4)
    assert values(tables) == [1, 2]
    with pytest.raises(StoreError, match="both app and version"):
        tables.append("t", rows(1), app="shard-0")


def test_a_stale_handle_fails(tables: DeltaTables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.append("t", rows(1), "shard-0", 1)
    stale = DeltaTable(str(tables.path("t")))
    other = open_tables(Settings(home=tables.root.parent))
    monkeypatch.setattr(tables, "_handle", lambda name: stale)
    other.append("t", rows(2, 3), "shard-0", 3)
    with pytest.raises(Conflict, match="another writer of 'shard-0' committed to table 't' first"):
        tables.append("t", rows(2, 3, 4), "shard-0", 4)
    monkeypatch.undo()
    assert values(tables) == [1, 2, 3]


def test_a_stale_handle_finds_its_rows_there(tables: DeltaTables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.append("t", rows(1), "shard-0", 1)
    other = open_tables(Settings(home=tables.root.parent))
    handles = [DeltaTable(str(tables.path("t")))]
    opened = tables._handle
    monkeypatch.setattr(tables, "_handle", lambda name: handles.pop() if handles else opened(name))
    other.append("t", rows(2), "shard-0", 2)
    assert tables.append("t", rows(2), "shard-0", 2) is False
    assert values(tables) == [1, 2]


@pytest.mark.parametrize("kills", [pytest.param(3, id="sample"), pytest.param(12, marks=pytest.mark.full)])
def test_racing_and_killed_drainers_append_each_number_once(
    tables: DeltaTables, start: Callable, eventually: Callable, kills: int
) -> None:
    last = 10 * kills
    rival = start(DRAINER, tables.root, "shard-0", last)
    other = start(DRAINER, tables.root, "shard-1", last)
    for kill in range(kills):
        process = start(DRAINER, tables.root, "shard-0", last)
        eventually(lambda wish=3 + 8 * kill: tables.app_version("samples", "shard-0") >= wish)
        process.kill()
        process.wait()
    assert (rival.wait(60), other.wait(60)) == (0, 0), (rival.stderr.read(), other.stderr.read())
    frame = tables.scan("samples").collect()
    for app in ("shard-0", "shard-1"):
        assert sorted(frame.filter(pl.col("app") == app)["number"].to_list()) == list(range(last + 1))


def test_racing_creators_write_the_first_rows_once(tmp_path: Path) -> None:
    for number in range(20):
        tables = DeltaTables(tmp_path / str(number))
        barrier, written = threading.Barrier(3), []

        def create(tables: DeltaTables = tables, barrier: threading.Barrier = barrier, written: list = written) -> None:
            barrier.wait()
            written.append(tables.append("t", rows(1), "shard-0", 1))

        threads = [threading.Thread(target=create) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(written) == [False, False, True]
        assert values(tables) == [1]


def test_replace_rows_of_a_day(tables: DeltaTables) -> None:
    tables.replace("t", rows(1, 2), "day = '2013-01-01'")
    tables.append("t", rows(3, day="2013-01-02"))
    tables.replace("t", rows(9), "day = '2013-01-01'")
    assert values(tables) == [3, 9]
    tables.replace("t", rows(), "day = '2013-01-02'")
    assert values(tables) == [9]
    with pytest.raises(StoreError, match=r"cannot replace rows where day = '2013-01-01' of table 't'"):
        tables.replace("t", rows(5, day="2013-01-02"), "day = '2013-01-01'")
    assert values(tables) == [9]


def test_replace_all_takes_new_columns(tables: DeltaTables) -> None:
    tables.append("t", rows(1))
    tables.replace("t", pl.DataFrame({"w": ["x"]}))
    assert tables.scan("t").collect().to_dicts() == [{"w": "x"}]


def test_older_versions_stay(tables: DeltaTables) -> None:
    for value in range(4):
        tables.append("t", rows(value))
    before = tables.scan("t")
    version = tables.version("t")
    tables.compact("t")
    tables.replace("t", rows(7))
    assert values(tables) == [7]
    assert values(tables, version=version) == [0, 1, 2, 3]
    assert values(tables, version=1) == [0, 1]
    assert before.collect().height == 4
    with pytest.raises(StoreError, match="cannot open version 99 of table 't'"):
        tables.scan("t", 99)


def test_compact_joins_files_and_keeps_numbers(tables: DeltaTables) -> None:
    for number in range(5):
        tables.append("t", rows(number), "shard-0", number)
    tables.compact("t")
    assert len(DeltaTable(str(tables.path("t"))).file_uris()) == 1
    assert tables.app_version("t", "shard-0") == 4
    assert values(tables) == [0, 1, 2, 3, 4]


def test_columns_may_be_added_and_left_out(tables: DeltaTables) -> None:
    tables.append("t", rows(1))
    tables.append("t", rows(2).with_columns(extra=pl.lit("new")))
    tables.append("t", rows(3).select("v"))
    frame = tables.scan("t").collect().sort("v")
    assert frame["extra"].to_list() == [None, "new", None]
    assert frame["day"].to_list() == ["2013-01-01", "2013-01-01", None]


def test_types_come_back(tables: DeltaTables) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, None],
            "f": pl.Series([0.1, float("nan")], dtype=pl.Float32),
            "b": [True, None],
            "s": ["é", None],
            "t": pl.Series([datetime(2013, 4, 1, 1, 2, 3, 4000, tzinfo=UTC), None], dtype=pl.Datetime("ms", "UTC")),
            "d": [date(2013, 1, 1), None],
            "l": [[1.5, None], []],
            "z": [b"\0", None],
        }
    )
    tables.append("t", frame)
    back = tables.scan("t").collect()
    assert back.schema == frame.schema
    assert back.equals(frame, null_equal=True)
    assert tables.scan("t").filter(pl.col("i") == 1).select("t").collect().item() == frame["t"][0]


def test_types_that_are_widened(tables: DeltaTables) -> None:
    frame = pl.DataFrame(
        {"u": pl.Series([2**32 - 1], dtype=pl.UInt32), "c": pl.Series(["x"], dtype=pl.Categorical), "n": [[1]]},
        schema_overrides={"n": pl.List(pl.UInt8)},
    )
    tables.append("t", frame)
    tables.append("t", frame)
    back = tables.scan("t").collect()
    assert dict(back.schema) == {"u": pl.Int64, "c": pl.String, "n": pl.List(pl.Int16)}
    assert back["u"].to_list() == [2**32 - 1] * 2


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(None), r"column 'c' of type Null; give it a type"),
        (pl.lit(1, dtype=pl.UInt64), r"column 'c' of type UInt64; cast it"),
        (pl.duration(days=1), r"of type Duration.*int64 milliseconds"),
        (pl.datetime(2013, 1, 1), r"of type Datetime.*milliseconds or microseconds UTC"),
        (pl.struct(x=pl.lit(None)), r"of type Struct.*cast it"),
    ],
)
def test_types_that_are_refused(tables: DeltaTables, column: pl.Expr, message: str) -> None:
    with pytest.raises(StoreError, match=f"table 't' cannot hold {message}|{message}"):
        tables.append("t", rows(1).with_columns(c=column))
    assert not tables.exists("t")


def test_another_type_is_refused_and_not_cast(tables: DeltaTables) -> None:
    tables.append("t", rows(1))
    with pytest.raises(StoreError, match="table 't' has other types: v is String, there Int64"):
        tables.append("t", rows(2).with_columns(v=pl.lit("2")))
    with pytest.raises(StoreError, match="v is Int32, there Int64"):
        tables.merge("t", rows(2).cast({"v": pl.Int32}), ["v"])
    assert values(tables) == [1]


def test_tables_that_do_not_exist(tables: DeltaTables) -> None:
    tables.append("flight_delay/samples", rows(1))
    with pytest.raises(StoreError, match=r"'flight_delay/sample' does not exist .*did you mean 'flight_delay/samples'"):
        tables.scan("flight_delay/sample")
    with pytest.raises(StoreError, match="does not exist"):
        tables.version("events/none")
    assert tables.app_version("none", "shard-0") == -1
    assert not (tables.root / "none").exists()


@pytest.mark.parametrize("name", ["", ".", "../outside", "a/../../b"])
def test_names_that_leave_the_folder(tables: DeltaTables, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a table"):
        tables.append(name, rows(1))


def test_a_damaged_log_is_said(tables: DeltaTables) -> None:
    tables.append("t", rows(1))
    (tables.path("t") / "_delta_log" / "00000000000000000000.json").write_text('{"half": ')
    with pytest.raises(StoreError, match="cannot open table 't'"):
        tables.scan("t")


def test_merge_refuses_doubled_rows(tables: DeltaTables) -> None:
    with pytest.raises(StoreError, match="merge into 't': 2 new rows share their v"):
        tables.merge("t", rows(1, 1), ["v"])


PAIRS = st.lists(st.tuples(st.none() | st.sampled_from("ab"), st.integers(0, 2), st.integers()), max_size=5)


@settings(max_examples=8, deadline=None)
@given(st.lists(PAIRS.map(lambda pairs: {p[:2]: p[2] % 1000 for p in pairs}), min_size=1, max_size=3))
def test_merge_is_a_dictionary_update(batches: list[dict[tuple[str | None, int], int]]) -> None:
    schema = {"k": pl.String, "n": pl.Int64, "v": pl.Int64}
    model: dict[tuple[str | None, int], int] = {}
    with tempfile.TemporaryDirectory() as folder:
        tables = DeltaTables(Path(folder))
        for batch in [{(None, 0): 0}, *batches]:
            tables.merge("t", pl.DataFrame([(*k, v) for k, v in batch.items()], schema, orient="row"), ["k", "n"])
            model |= batch
        frame = tables.scan("t").collect()
    assert {(k, n): v for k, n, v in frame.iter_rows()} == model
    assert frame.height == len(model)
