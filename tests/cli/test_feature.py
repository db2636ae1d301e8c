"""`saima feature`: what is listed, shown, previewed, tested, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from cli.new import scaffold
from saima.errors import SaimaError
from saima.settings import Settings, settings
from saima.stores import open_tables

SHARED = """
description: The clock.
features:
  clock_hour: {value: "hour()", dtype: int64, default: 0, description: Hour of the request.}
  clock_evening: {value: "clock_hour >= 18", dtype: bool, description: From 18 h.}
"""
SUITE = """
tables: [shared/clock]
checks:
  - {kind: between, column: clock_hour, min: 0, max: 23}
"""
EXAMPLES = """
examples:
  - given: {request.time: 2026-11-21T20:00:00Z}
    expect: {clock_hour: 20, clock_evening: true}
"""


@pytest.fixture
def algorithms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two algorithms that share the clock."""
    root = tmp_path / "algorithms"
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(root))
    settings.cache_clear()
    for folder, text in (("features", SHARED), ("expectations", SUITE), ("tests", EXAMPLES)):
        (root / "shared" / folder).mkdir(parents=True)
        (root / "shared" / folder / "clock.yaml").write_text(text)
    for name in ("first", "second"):
        scaffold(root / name, name)
        file = root / name / "algorithm.yaml"
        declared = file.read_text().replace("owner: team:saima\n", "owner: team:saima\nuse: [clock]\n")
        file.write_text(declared.replace("[amount_log, hour,", "[amount_log, hour, clock_hour,"))
    yield root
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(saima, ["feature", *arguments])


def test_a_shared_feature_stands_once_with_all_its_readers(algorithms: Path) -> None:
    ran = run("list")
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[0] == "shared/clock, read by first, second"
    assert ran.output.count("clock_hour ") == 2  # its own line, and the expression of clock_evening
    assert ran.output.splitlines()[-1] == "16 features"
    listed = json.loads(run("list", "--json", "first").output)
    assert [entry["full_name"] for entry in listed][:3] == ["shared/clock.clock_hour", "shared/clock.clock_evening",
                                                            "first.amount_log"]  # fmt: skip
    assert run("list", "--side", "item").output == "0 features\n"


def test_show_says_where_from_and_who_reads(algorithms: Path) -> None:
    ran = run("show", "clock_hour", "--no-cost")
    assert ran.exit_code == 0, ran.output
    lines = [" ".join(line.split()) for line in ran.output.splitlines()]
    for line in (
        "shared/clock.clock_hour: int64, request side",
        "defined shared/features/clock.yaml:4:3",
        "compiled hour(request.time, tz='UTC')",
        "lineage request.time: the moment of the request",
        "algorithms first",
        "second",
        "models estimate",
        "features clock_evening",
        "monitors shared/clock",
    ):
        assert line in lines, ran.output


def test_show_measures_a_cost_and_names_windows_and_tables(algorithms: Path) -> None:
    found = json.loads(run("show", "first.ratio", "--json").output)[0]
    assert found["lineage"] == {
        "request.amount": "field of the request",
        "recent.mean_24h": "mean_24h of first_done.amount by request.user",
    }
    cost = found["cost"]
    assert cost["features"] == 9
    assert cost["alone"]["rows"] == cost["plan"]["rows"] == 500
    assert cost["alone"]["one"] > 0
    assert cost["plan"]["many"] > 0
    age = json.loads(run("show", "second.last_age", "--json", "--no-cost").output)[0]
    assert age["lineage"]["last.time"] == "newest second_done.time by request.user (sync, ttl 7d)"
    assert len(json.loads(run("show", "ratio", "--json", "--no-cost").output)) == 2


def test_a_name_that_is_not_there_is_refused_with_the_nearest(algorithms: Path) -> None:
    ran = run("show", "clock_hours")
    assert isinstance(ran.exception, SaimaError)
    assert "no feature 'clock_hours' (did you mean 'clock_hour'?)" in str(ran.exception)


def test_preview_of_every_kind_of_file(algorithms: Path, tmp_path: Path) -> None:
    rows = [{"amount": 20, "recent.mean_24h": 10.0}, {"amount": 5, "recent.mean_24h": None}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pl.DataFrame(rows).write_csv(tmp_path / "rows.csv")
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    outputs = {run("preview", "first.ratio", "--rows", str(file)).output for file in tmp_path.glob("rows.*")}
    assert outputs == {
        "first.ratio\n"
        "request.amount  recent.mean_24h  ratio\n"
        "20              10.0             2.0\n"
        "5\n"
    }  # fmt: skip
    (tmp_path / "when.jsonl").write_text('{"time": "2026-11-21T20:00:00Z", "user": "u1"}')
    ran = run("preview", "clock_evening", "--rows", str(tmp_path / "when.jsonl"))
    assert ran.output.splitlines()[-1].split() == ["2026-11-21T20:00:00+00:00", "True"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.jsonl", '{"amuont": 1}', "the column 'amuont' is no input of the algorithm"),
        ("rows.jsonl", "{", "cannot be read"),
        ("rows.json", "{}", "rows are objects in a list"),
        ("rows.json", "[]", "holds no row"),
        ("rows.txt", "", "'.txt' is no file of rows"),
        ("rows.json", '[{"last.time": "soon"}]', "'last.time' is 'soon'; write a moment such as"),
    ],
)
def test_preview_refuses(algorithms: Path, tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    ran = run("preview", "first.last_age", "--rows", str(tmp_path / name))
    assert isinstance(ran.exception, SaimaError)
    assert message in str(ran.exception)


def test_preview_of_requests_reads_history_as_of_their_time(algorithms: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"time": 3600000, "user": "u", "amount": 30}\n{"time": 3599999, "user": "u", "amount": 30}'
    )
    ran = run("preview", "first.ratio", "--history", "--rows", str(tmp_path / "rows.jsonl"))
    assert "there are no event tables" in str(ran.exception)
    envelope = {
        "key": "u",
        "type": "first_done",
        "id": "1",
        "appended": 0,
        "offset": 1,
        "late": False,
        "day": "1970-01-01",
    }
    events = [{**envelope, "time": time, "seq": 0, "user": "u", "amount": amount} for time, amount in
              ((3_000_000, 10), (3_599_999, 20))]  # fmt: skip
    tables = open_tables(Settings(home=tmp_path / "home", algorithms=algorithms))
    tables.append("events/first_done", pl.DataFrame(events))
    tables.append("events/first_outcome", pl.DataFrame([{**envelope, "time": 1, "seq": 0, "trace": "t", "value": 1.0}]))
    ran = run("preview", "first.ratio", "--history", "--rows", str(tmp_path / "rows.jsonl"))
    assert ran.exit_code == 0, ran.output
    assert [line.split()[-1] for line in ran.output.splitlines()[2:]] == ["2.0", "3.0"]


def test_test_runs_examples_and_every_path(algorithms: Path) -> None:
    ran = run("test", "--rows", "30")
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines() == [
        "ok first: 2 expected values, 9 features on 30 made-up rows",
        "ok second: 2 expected values, 9 features on 30 made-up rows",
    ]


def test_test_fails_on_a_wrong_example_and_names_it(algorithms: Path) -> None:
    (algorithms / "first" / "tests" / "ratio.yaml").write_text(
        "examples:\n  - given: {request.amount: 20, recent.mean_24h: 8.0}\n"
        "    expect: {ratio: 2.4, amount_log: 3.0445}\n    tolerance: 0.001\n"
    )
    ran = run("test", "--rows", "5", "first")
    assert ran.exit_code == 1
    assert "algorithms/first/tests/ratio.yaml:3: ratio is 2.5, not 2.4" in ran.output
    assert "1 wrong" in ran.output
    (algorithms / "first" / "tests" / "ratio.yaml").write_text("examples:\n  - expect: {ration: 1}\n")
    ran = run("test", "first")
    assert str(ran.exception).startswith("algorithms/first/tests/ratio.yaml:2:14: no feature 'ration' (did you mean")


def test_test_finds_an_operator_whose_paths_differ(algorithms: Path) -> None:
    (algorithms / "first" / "operators.py").write_text(
        "from saima.features.operators.base import operator\n\n\n"
        "@operator(x='int', returns='int64', lower=lambda _, x: x + 1, exact=True)\n"
        "def same(x):\n    return x + 1 if x < 1000 else x\n"
    )
    file = algorithms / "first" / "algorithm.yaml"
    file.write_text(file.read_text().replace('"recent.count_1h", dtype', '"same(recent.count_1h)", dtype'))
    ran = run("test", "first")
    assert ran.exit_code == 1
    assert "first.count_1h: a batch gives" in ran.output
    assert '{"recent.count_1h": ' in ran.output


def test_operators_are_listed_and_explained() -> None:
    listed = run("operators")
    assert "  smooth         scale * (n + a) / (d + b); null where d + b <= 0." in listed.output.splitlines()
    shown = run("operators", "smooth").output
    assert shown.startswith("smooth(n: float, d: float, a: float, b: float, scale: float)\n  equal on every path\n")
    assert ">>> smooth(" in shown
    assert "did you mean 'smooth'" in str(run("operators", "smoth").exception)


def test_the_page_names_every_operator() -> None:
    from saima.features.operators import OPERATORS
    from saima.settings import ROOT

    page = (ROOT / "docs" / "features.md").read_text("utf-8")
    assert [name for name, found in OPERATORS.items() if not found.hidden and f"`{name}`" not in page] == []
