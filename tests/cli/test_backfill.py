"""`saima backfill`: features of history in parts, from Delta tables and from Parquet, within its bound on memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from saima.errors import SaimaError
from saima.features import backfill as backfilling
from saima.features import history, load
from saima.features.backfill import LEAST_MEMORY, backfill
from saima.settings import Settings, settings
from saima.stores import open_tables

MINUTE = 60_000
TILL = """
algorithm: till
sources:
  paid: {key: shop, fields: {shop: string, cents: int64, tags: {type: list<string>, items: ","}}}
  opened: {key: shop, fields: {shop: string, clerk: string}}
request:
  fields: {shop: string, clerk: string}
tables:
  last: {source: paid, key: shop, ttl: 1d}
aggregates:
  income: {from: paid, key: shop, value: cents, measures: [sum, count], windows: [1h, 6h]}
features:
  earned: {value: income.sum_1h, dtype: int64}
  sales: {value: income.count_6h, dtype: int64}
  tags: {value: "len(last.tags)", dtype: int64}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with no tables, beside a folder with one algorithm."""
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    settings.cache_clear()
    (tmp_path / "algorithms" / "till").mkdir(parents=True)
    (tmp_path / "algorithms" / "till" / "algorithm.yaml").write_text(TILL)
    yield tmp_path / "home"
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(saima, ["backfill", "till", *arguments])


def enveloped(**columns: pl.Expr) -> pl.DataFrame:
    """Events at a row's own minute, as the event tables hold them; a tenth of them late."""
    place = pl.int_range(pl.len())
    return pl.select(place=pl.int_range(3000)).select(
        time=place * MINUTE, seq=place, id=place.cast(pl.String), key=place.cast(pl.String), type=pl.lit("x"),
        offset=place, appended=place * MINUTE, late=place % 10 == 3, **columns,
        day=pl.from_epoch(place * MINUTE, "ms").dt.strftime("%Y-%m-%d"),
    )  # fmt: skip


@pytest.fixture
def events(home: Path) -> dict[str, pl.DataFrame]:
    """Event tables of three commits each, partitioned by day; one of their fields is delimited text."""
    place, shop = pl.int_range(pl.len()), "shop " + (pl.int_range(pl.len()) * 7 % 11).cast(pl.String)
    found = {
        "paid": enveloped(shop=shop, cents=place % 97, tags=pl.lit("a,b").repeat_by(place % 3).list.join(",")),
        "opened": enveloped(shop=shop, clerk="clerk " + (place % 3).cast(pl.String)),
    }
    tables = open_tables(Settings(home=home))
    for topic, frame in found.items():
        for at in range(0, frame.height, 1000):
            tables.append(f"events/{topic}", frame[at : at + 1000])
    return found


def test_the_parts_together_are_the_whole_from_delta_and_from_parquet(
    events: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = events["opened"].filter(~pl.col("late")).select("time", "shop", "clerk", trace="key")
    for topic, frame in events.items():
        frame.write_parquet(tmp_path / f"{topic}.parquet", row_group_size=500)
    files = {topic: pl.scan_parquet(tmp_path / f"{topic}.parquet") for topic in events}
    whole = backfill(load(tmp_path / "algorithms" / "till"), asked.lazy(), files).collect().sort("time")
    assert whole["earned"].n_unique() > 50
    assert whole["tags"].n_unique() > 2
    monkeypatch.setattr(history, "BYTES", 20_000)  # as if the events were many, and the rows wide
    monkeypatch.setattr(backfilling, "CELL", 2_000)
    ran = run("--out", str(tmp_path / "found.parquet"), "--memory", str(LEAST_MEMORY // 2**20))
    assert ran.exit_code == 0, ran.output
    assert ran.output == f"2,700 rows x 3 features in 3 parts: {tmp_path / 'found.parquet'}\n"
    assert pl.read_parquet(tmp_path / "found.parquet").sort("time").equals(whole)


def test_a_span_of_time_and_a_request_log_of_ones_own(events: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    ran = run("--out", str(tmp_path / "day.parquet"), "--from", "1970-01-02", "--to", "1970-01-02T01:00")
    assert ran.exit_code == 0, ran.output
    times = pl.read_parquet(tmp_path / "day.parquet")["time"]
    assert times.min() == 1440 * MINUTE
    assert times.max() == 1499 * MINUTE
    pl.DataFrame({"time": [1], "shop": ["shop 0"], "clerk": ["x"]}).write_parquet(tmp_path / "asked.parquet")
    ran = run("--out", str(tmp_path / "own.parquet"), "--rows", str(tmp_path / "asked.parquet"))
    assert ran.exit_code == 0, ran.output
    assert pl.read_parquet(tmp_path / "own.parquet").rows() == [(1, 0, 1, 0)]


def test_what_cannot_be_written_says_why(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    out = str(tmp_path / "found.parquet")
    assert "there are no event tables of 'till' under" in str(run("--out", out).exception)
    request.getfixturevalue("events")
    assert "has no request between 2001" in str(run("--out", out, "--from", "2001-01-01").exception)
    assert "a bound of 1048576 bytes is too small" in str(run("--out", out, "--memory", "1").exception)
    assert not list(tmp_path.glob("found*"))
    (tmp_path / "found.parquet").touch()
    refused = run("--out", out).exception
    assert isinstance(refused, SaimaError)
    assert "found.parquet exists; name another file" in str(refused)


PEAK = """
import json, sys
from cli.main import saima
def peak():  # of this program: getrusage also knows the peak of the process that started it
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
out = sys.argv[1]
saima(["backfill", "till", "--to", "1970-01-01T00:01", "--out", out + ".first"], standalone_mode=False)
before = peak()
saima(["backfill", "till", "--out", out, "--memory", sys.argv[2]], standalone_mode=False)
print(json.dumps({"grown": peak() - before}))
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_tables_larger_than_the_bound_stay_within_it(home: Path, tmp_path: Path) -> None:
    tables, every, files = open_tables(Settings(home=home)), 250_000, 12
    for file in range(files):
        place = pl.int_range(file * every, (file + 1) * every, eager=True)
        shop = "shop " + (place * 7919 % 50_021).cast(pl.String)
        shared = pl.DataFrame(
            {"time": place * 100, "seq": place, "offset": place, "late": place < 0, "shop": shop, "key": shop}
        )
        day = pl.from_epoch("time", "ms").dt.strftime("%Y-%m-%d").alias("day")
        tables.append("events/paid", shared.with_columns(day, cents=place % 1000, tags=pl.lit("a,b")))
        tables.append("events/opened", shared.filter(place % 50 == 0).with_columns(day, clerk=pl.lit("clerk")))
    found = {}
    for memory in (64, 16_384):
        out = tmp_path / f"{memory}.parquet"
        command = [sys.executable, "-c", PEAK, str(out), str(memory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        found[memory] = json.loads(done.stdout.splitlines()[-1])["grown"]
    assert pl.read_parquet(tmp_path / "64.parquet").equals(pl.read_parquet(tmp_path / "16384.parquet"))
    assert found[64] < 256 * 2**20 < found[16_384], found
