"""Recorded requests through bundles: the same bits from the one that answered, differences from another."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.replay_report import page, show
from saima.features.algorithm import Algorithm
from saima.features.declaration import Journal
from saima.host.bundle import Bundle
from saima.host.host import Host
from saima.host.lease import Loaded
from saima.host.loader import Loader
from saima.host.replay import differences, kendall_tau, replay
from saima.host.source import SandboxSource
from saima.learning.trainers import spec_of, trainer
from saima.routing.deployment import configure, refresh, write
from saima.routing.experiments import Experiment
from saima.settings import Settings
from saima.stores import open_log, open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel
from tests.saima.host.conftest import eventually


def ask(number: int) -> dict[str, Any]:
    rng = random.Random(number)
    fields = {"x": rng.choice([None, rng.uniform(-9, 9)]), "y": rng.uniform(0, 40), "colour": rng.choice(["red", "x"])}
    return {"algorithm": "small", "trace": f"t{number}", "request": fields}


def answered(settings: Settings, row: BundleRow, place: Path, count: int, share: float) -> list[dict[str, Any]]:
    """Journal records of so many requests to a host that serves a bundle; `share` of the second model's score."""
    home = settings.model_copy(update={"home": place})
    registry = open_registry(home)
    number = registry.publish("small", "trees", row.digest, row.tag, row.path, {})
    write(registry, refresh("small", "trees", number), "test", "test")
    experiment = {
        "experiment": "fusion", "layer": "fusion", "unit": "trace",
        "arms": {"half": {"lineage": "trees", "weight": 100, "parameters": {"share": share}}},
    }  # fmt: skip
    write(registry, configure("small", [Experiment.model_validate(experiment)]), "test", "test")
    loader = Loader(home)

    def load(found: BundleRow) -> Loaded:
        return dataclasses.replace(loader.load(found), journal=Journal(items="all", full=1.0))

    host = Host(home, load=load)
    host.start()
    eventually(lambda: host.ready, 60)
    for one in range(count):
        host.predict(ask(one), 30)
    host.stop()
    loader.close()
    log = open_log(home)
    found: list[dict[str, Any]] = []
    position: dict[int, int] = {}
    while segments := log.read(position, topics=["journal"]):
        for segment in segments:
            found += [json.loads(text) for text in segment.table["record"].to_pylist()]
            position = {segment.partition: segment.last}
    log.close()
    assert len(found) == count
    return found


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.full)])
def test_the_bundle_that_answered_gives_the_same_bits(
    settings: Settings, row: BundleRow, tmp_path: Path, count: int
) -> None:
    records = answered(settings, row, tmp_path, count, 0.25)
    found = differences(Bundle.open(row.path), records)
    assert (found.requests, found.exact, found.largest, found.skipped) == (count, count, 0.0, {})
    assert len({one["scores"][0] for one in records}) > 5, "the answers differ among each other"


@pytest.fixture(scope="module")
def other(built: Callable[..., BundleRow], algorithm: Algorithm, place: Path) -> BundleRow:
    """A bundle of other trees."""
    rows = pl.DataFrame({"sum": [float(n) for n in range(40)], "big": [n % 2 for n in range(40)]})
    rows = rows.with_columns(label=-pl.col("sum"))
    models = {}
    for name in ("first", "second"):
        spec = spec_of(algorithm.declaration, name, settings={"rounds": 5, "min_child_weight": 1.0})
        trainer("xgboost").fit(rows, spec).save(place / "other" / name)
        models[name] = TrainedModel("xgboost", place / "other" / name, {"seed": 1})
    return built(models, trained_at=78)


def test_another_bundle_gives_a_report(settings: Settings, row: BundleRow, other: BundleRow, tmp_path: Path) -> None:
    records = answered(settings, row, tmp_path, 40, 0.0)
    bundle = Bundle.open(other.path)
    found = differences(bundle, records)
    expected = []
    for record in records:
        frame = pl.DataFrame({"sum": record["features"]["sum"], "big": record["features"]["big"]},
                             schema={"sum": pl.Float32, "big": pl.Int64})  # fmt: skip
        expected.append(abs(bundle.score(frame, {"share": 0.0}).score[0] - record["scores"][0]))
    assert found.requests == 40
    assert found.largest == max(expected) > 0
    assert found.worst[0][1] == records[int(np.argmax(expected))]["trace"]
    documents = {"small #2": found.document()}
    assert "40" in show(documents)
    html = page("Replay of <small>", documents)
    assert "Replay of &lt;small&gt;" in html
    assert found.worst[0][1] in html
    assert "http" not in html


def test_what_cannot_be_replayed_is_counted_by_reason(row: BundleRow) -> None:
    whole = {"algorithm": "small", "whole": True, "features": {"sum": [1.0], "big": [0], "colour_id": [1]}, "items": [],
             "parameters": {"gone": 1}, "scores": [None], "trace": "t", "degraded": []}  # fmt: skip
    records = [
        whole,
        {**whole, "algorithm": "big"},
        {**whole, "whole": False},
        {**whole, "shadow": True},
        {**whole, "degraded": ["fallback:rule"], "features": {}},
        {**whole, "features": {"sum": [1.0]}},
    ]
    first, *others = replay(Bundle.open(row.path), records)
    assert not isinstance(first, str)
    assert not first.equal, "a number where none was recorded"
    assert others == ["another algorithm", "not kept whole", "shadow", "answered by a fallback",
                      "recorded with other features"]  # fmt: skip


def test_a_bundle_of_other_features_gets_them_anew(row: BundleRow) -> None:
    record = {"algorithm": "small", "whole": True, "features": {"old": [1.0]}, "items": [], "parameters": {}, "time": 5,
              "scores": [0.5], "trace": "t", "degraded": [], "position": {"0": 1}, "kept": [0], "rows": {},
              "request": {"x": 3.0, "y": 4.0, "colour": "red"}, "user": None}  # fmt: skip
    bundle = Bundle.open(row.path)
    (found,) = replay(bundle, [record], {})
    assert not isinstance(found, str)
    wanted = bundle.score(pl.DataFrame({"sum": [7.0], "big": [0]}, schema={"sum": pl.Float32, "big": pl.Int64})).score
    assert found.replayed.tolist() == wanted.tolist()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_kendall_tau_is_that_of_the_definition(pairs: list[tuple[int, int]]) -> None:
    agree = ties_a = ties_b = total = 0
    for at, (a, b) in enumerate(pairs):
        for c, d in pairs[:at]:
            total += 1
            ties_a += a == c
            ties_b += b == d
            agree += (a > c) - (a < c) and ((a > c) - (a < c)) * ((b > d) - (b < d))
    found = kendall_tau([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
    if total in (ties_a, ties_b):
        assert found == (1.0 if ties_a == ties_b else 0.0)
    else:
        assert found == pytest.approx(agree / ((total - ties_a) * (total - ties_b)) ** 0.5)


def test_a_sandbox_serves_another_deployment_and_leaves_no_trace(
    settings: Settings, row: BundleRow, tmp_path: Path
) -> None:
    home = settings.model_copy(update={"home": tmp_path / "home"})
    registry = open_registry(home)
    number = registry.publish("small", "trees", row.digest, row.tag, row.path, {})
    state = {"lineages": {"trees": {"routed": number}}, "default_lineage": "trees", "allow_request_time": True}
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps({"algorithms": {"small": state}, "digest": "of an earlier text"}))
    host = Host(home, source=SandboxSource(registry, file), journal=False)
    host.start()
    eventually(lambda: host.ready, 60)
    assert host.predict({**ask(1), "time": 5}, 30)["version"] == number
    host.stop()
    assert (registry.deployment().epoch, registry.statuses("host/"), registry.marks("swap")) == (0, {}, [])
    assert not (home.home / "spool").exists()
    assert not list(home.home.glob("log*"))


@pytest.mark.parametrize("text", ["", "[]", '{"algorithms": {"small": {"lane": {"threads": 0}}}}'])
def test_a_sandbox_names_what_is_wrong_with_its_file(settings: Settings, tmp_path: Path, text: str) -> None:
    from saima.errors import StoreError

    file = tmp_path / "deployment.json"
    file.write_text(text)
    with pytest.raises(StoreError, match=r"deployment\.json"):
        SandboxSource(open_registry(settings), file)
