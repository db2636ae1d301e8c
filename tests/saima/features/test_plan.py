"""Plans: stages, sides, lineage, hash; the same values for one row and for many."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from saima.errors import SaimaError
from saima.features import explain, json_schema, load
from saima.features.plan import Plan
from saima.features.types import TIMESTAMP, Type, parse_type, series

ROOT = Path(__file__).resolve().parents[3]
FLIGHTS = load("flight_delay")
RANKING = load("fashion_ranking")

FLOATS = (None, 0.0, -0.0, 1.0, 250.0, 1e300, -1e300, 5e-324, float("inf"), float("-inf"), float("nan"))
INTEGERS = (None, -(2**63), 2**63 - 1, 0, 1)
TEXTS = (None, "EWR", "AA", "UA", "", "N1", "é", "中文")


def value(dtype: Type, rng: Random) -> Any:
    """A value of a type: a special one, or any."""
    if dtype.element is not None:
        return None if rng.random() < 0.2 else [value(dtype.element, rng) for _ in range(rng.randrange(5))]
    special = rng.random() < 0.5
    match dtype.name:
        case "float32":
            one = rng.choice(FLOATS) if special else rng.gauss(0, 1000)
            return one if one is None else struct.unpack("f", struct.pack("f", one if abs(one) < 1e38 else 1.0))[0]
        case "float64":
            return rng.choice(FLOATS) if special else rng.gauss(0, 1000) * 10.0 ** rng.randrange(-9, 9)
        case "int64":
            return rng.choice(INTEGERS) if special else rng.randrange(-(2**63), 2**63) >> rng.randrange(63)
        case "string":
            return rng.choice(TEXTS) if special else "".join(rng.choices("aE1 \x1dß中", k=rng.randrange(8)))
        case _:
            return None if special else rng.randrange(-(10**12), 4 * 10**12)


def input_types(plan: Plan) -> dict[str, Type]:
    types = {"request.time": TIMESTAMP, **plan.request_fields}
    for table in plan.tables.values():
        types |= {f"{table.name}.{name}": dtype for name, dtype in table.columns.items()}
    for aggregate in plan.aggregates.values():
        types |= aggregate.columns
    return types


def frame_of(plan: Plan, rows: int, seed: int) -> pl.DataFrame:
    """Inputs made from a seed: drawn cell by cell, frames of so many columns overrun what Hypothesis keeps of one."""
    rng = Random(seed)
    return pl.DataFrame(
        [series(name, [value(dtype, rng) for _ in range(rows)], dtype) for name, dtype in input_types(plan).items()]
    )


def test_output_is_the_declared_features() -> None:
    plan = FLIGHTS.plan
    frame = pl.DataFrame(schema=plan.input_schema())
    result = plan.evaluate(frame)
    assert result.schema == {name: dtype.polars for name, dtype in plan.features.items()}
    assert list(result.columns) == list(FLIGHTS.declaration.features)
    assert result.height == 0


PLANS = pytest.mark.parametrize("plan", [FLIGHTS.plan, RANKING.plan], ids=["flights", "ranking"])


@PLANS
def test_a_row_alone_and_among_many_and_lazily_is_the_same_bit_for_bit(plan: Plan) -> None:
    for seed in range(8):
        the_same_in_every_way(plan, frame_of(plan, 3, seed))


@pytest.mark.full
@PLANS
def test_the_same_bit_for_bit_in_full(plan: Plan) -> None:
    for seed in range(100):
        the_same_in_every_way(plan, frame_of(plan, 3, seed))


def the_same_in_every_way(plan: Plan, frame: pl.DataFrame) -> None:
    many = plan.evaluate(pl.concat([frame] * 12))
    alone = pl.concat([plan.evaluate(frame[row]) for row in range(3)])
    assert_frame_equal(many[:3], alone, check_exact=True)
    assert_frame_equal(many[-3:], alone, check_exact=True)
    assert_frame_equal(plan.evaluate(frame), alone, check_exact=True)
    assert_frame_equal(plan.evaluate_lazy(frame.lazy()).collect(), alone, check_exact=True)


def test_columns_in_another_order_and_more_of_them_change_nothing() -> None:
    plan = FLIGHTS.plan
    frame = pl.DataFrame([series(name, [None, None], dtype) for name, dtype in input_types(plan).items()])
    shuffled = frame.select(reversed(frame.columns)).with_columns(pl.lit(1).alias("trace"))
    assert_frame_equal(plan.evaluate(frame), plan.evaluate(shuffled))


def test_a_missing_column_and_another_type_are_named() -> None:
    plan = FLIGHTS.plan
    frame = pl.DataFrame([series(name, [None], dtype) for name, dtype in input_types(plan).items()])
    with pytest.raises(SaimaError, match=r"'weather\.temp'"):
        plan.evaluate(frame.drop("weather.temp"))
    with pytest.raises(SaimaError, match=r"'request\.carrier' is Int64; the declaration wants String"):
        plan.evaluate(frame.with_columns(pl.lit(5, dtype=pl.Int64).alias("request.carrier")))


def test_null_columns_and_integer_times_are_taken() -> None:
    plan = FLIGHTS.plan
    frame = pl.DataFrame({name: [None] for name in plan.input_schema()})
    departure = frame.with_columns(pl.lit(1364774400000).alias("request.scheduled_departure"))
    assert plan.evaluate(departure)["departure_hour"].to_list() == [20]
    assert plan.evaluate(frame)["departure_hour"].to_list() == [0]


def test_lineage_goes_through_features_to_inputs() -> None:
    plan = RANKING.plan
    assert plan.lineage["affinity_share"] == ["user.affinity", "item_context.place"]
    assert plan.lineage["item_trend"] == [
        "clicked_item.count_6h", "shown_item.count_6h", "clicked_item.count_1d", "shown_item.count_1d",
    ]  # fmt: skip


def test_sides_follow_the_keys_of_what_is_read() -> None:
    sides = {name: stage.side for stage in RANKING.plan.stages for name in stage.names}
    assert sides["segment_id"] == "request"
    assert sides["brand_id"] == "item"
    assert sides["item_rate_6h"] == "item"
    assert sides["affinity_item"] == "cross"
    assert RANKING.plan.aggregates["shown_segment"].side == "request"
    assert RANKING.plan.aggregates["shown_item_segment"].side == "cross"


def test_only_what_is_named_is_read() -> None:
    plan = FLIGHTS.plan
    assert "wind_dir" not in plan.tables["weather"].columns
    assert plan.tables["last_leg"].keys == ("request.tailnum",)
    assert plan.aggregates["dep_route"].keys == ("request.origin", "request.carrier")
    assert ("mean", "1h") in plan.aggregates["dep_route"].measures


def test_hash_and_digest_are_the_same_in_another_process() -> None:
    program = "from saima.features import load; a = load('flight_delay'); print(a.plan.hash, a.digest)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [FLIGHTS.plan.hash, FLIGHTS.digest]


def test_a_changed_default_changes_the_hash_and_an_unused_field_does_not(tmp_path: Path) -> None:
    base = (Path(__file__).parent / "shop.yaml").read_text("utf-8")
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "tags.txt").write_text("red\n")

    def hash_of(text: str) -> str:
        (directory / "algorithm.yaml").write_text(text)
        return load(directory).plan.hash

    assert hash_of(base) != hash_of(base.replace("dtype: float32, default: 0.0", "dtype: float32, default: 0.1"))
    assert hash_of(base) == hash_of(base.replace("lng: float64", "latitude: float64"))


def test_explain_shows_stages_sides_and_lineage() -> None:
    text = explain(FLIGHTS)
    assert "89 features" in text
    assert "stage 0 [request]" in text
    assert "wind_component <- weather.wind_gust, weather.wind_speed" in text
    assert "windows   dep_route [request] by request.origin, request.carrier" in text


def test_the_schema_knows_the_fields() -> None:
    schema = json_schema()
    assert {"features", "aggregates", "lineages"} <= set(schema["properties"])
    assert "from" in schema["$defs"]["Aggregate"]["properties"]


def test_type_texts() -> None:
    for text in ("list<list<int64>>", "map<string,map<string,float64>>", "vector<float32,8>", "decimal(2)"):
        assert str(parse_type(text)) == text


def test_shared_features_are_taken_in_once_and_their_errors_point_into_their_file(tmp_path: Path) -> None:
    (tmp_path / "shared" / "features").mkdir(parents=True)
    shared = tmp_path / "shared" / "features" / "hours.yaml"
    shared.write_text("features:\n  local_hour: {value: 'hour(asked)', dtype: int64, default: 0}\n")
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "tags.txt").write_text("red\n")
    base = (Path(__file__).parent / "shop.yaml").read_text("utf-8")
    (directory / "algorithm.yaml").write_text(base.replace("algorithm: shop\n", "algorithm: shop\nuse: [hours]\n"))
    assert load("shop", tmp_path).plan.lineage["local_hour"] == ["request.asked"]
    shared.write_text("features:\n  local_hour: {value: 'hour(askd)', dtype: int64, default: 0}\n")
    with pytest.raises(
        SaimaError, match=r"^shared/features/hours.yaml:2:29: unknown name 'askd' \(did you mean 'asked'"
    ):
        load("shop", tmp_path)
    shared.write_text("features:\n  sold: {value: 'hour(asked)', dtype: int64, default: 0}\n")
    with pytest.raises(SaimaError, match=r"algorithm.yaml:2:7: 'features.sold' of .* is already declared"):
        load("shop", tmp_path)


def test_an_algorithm_brings_its_own_operators(tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "tags.txt").write_text("red\n")
    base = (Path(__file__).parent / "shop.yaml").read_text("utf-8")
    (directory / "algorithm.yaml").write_text(base.replace('"item.price > 10"', '"twice(item.price) > 10"'))
    (directory / "operators.py").write_text(
        "from saima.features.operators.base import operator\n\n\n"
        "@operator(x='float', returns='float64', lower=lambda _, x: x * 2.0)\n"
        "def twice(x):\n    return x * 2.0\n"
    )
    algorithm = load(directory)
    row = {"item.price": 6.0}
    assert algorithm.plan.reference({**dict.fromkeys(algorithm.plan.input_schema()), **row})["dear"] is True
    (directory / "operators.py").write_text("def broken(:\n")
    with pytest.raises(SaimaError, match=r"algorithms/shop/operators.py:1:\d+: not Python"):
        load(directory)


def test_max_length_keeps_the_first_and_leaves_a_missing_list_to_the_default(tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "tags.txt").write_text("red\n")
    base = (Path(__file__).parent / "shop.yaml").read_text("utf-8")
    old = '"lookup_id(tags, vocabularies.tags)", dtype: list<int64>'
    (directory / "algorithm.yaml").write_text(
        base.replace(old, "tags, dtype: list<string>, max_length: 2, default: [none]").replace(
            "tag_ids: {tensor: int64", "tag_ids: {tensor: string"
        )
    )
    plan = load(directory).plan
    frame = pl.DataFrame([series(name, [None, None], dtype) for name, dtype in input_types(plan).items()])
    tags = pl.Series("item.tags", [["c", "b", "a"], None], dtype=pl.List(pl.String))
    assert plan.evaluate(frame.with_columns(tags))["tag_ids"].to_list() == [["c", "b"], ["none"]]
