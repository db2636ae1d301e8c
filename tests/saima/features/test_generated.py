"""Algorithms made at random: what is served, logged and recomputed is one value, bit for bit; YAML gives them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from saima.features import Algorithm, load
from saima.features.backfill import backfill
from saima.features.checks.trial import input_types, same
from saima.features.extractor import Extraction, Extractor
from saima.features.lookups import row_sources
from saima.features.nodes import Call, Column, walk
from saima.features.parity import check, request_rows
from saima.features.requests import Fields
from saima.features.types import TIMESTAMP, declared, from_frame_value, parse_type, series
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.host.journal import snapshot, text_of
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import OnlineStore
from saima.streams.tiles import RowEngine, TileEngine

from .generated import World, world

SAMPLE, ALL, CHUNK = 100, 10_000, 500
INEXACT = {"log", "log1p", "log10", "exp", "sigmoid", "**", "pow", "haversine"}


@contextmanager
def opened(folder: Path) -> Iterator[OnlineStore]:
    """A store of its own for each algorithm: equal definitions of two would share their tables."""
    with TemporaryDirectory(dir=folder) as home:
        store = open_online(0, Settings(home=Path(home), fsync=False), writer=True)
        try:
            yield store
        finally:
            store.close()


def dumped(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    return text


def written(folder: Path, data: Any) -> Algorithm:
    directory = folder / data["algorithm"]
    directory.mkdir(exist_ok=True)
    (directory / "algorithm.yaml").write_text(dumped(data), "utf-8")
    return load(directory)


def frames(algorithm: Algorithm, made: World, first: int = 0, last: int = 10**9) -> dict[str, pl.DataFrame]:
    """Events with first < offset <= last as the log's tables hold them: a decimal as its digits."""
    found = {}
    for topic, source in algorithm.declaration.sources.items():
        rows = [row for row in made.events[topic] if first < row["offset"] <= last]
        columns = [pl.Series(name, [row[name] for row in rows], dtype=pl.Int64) for name in ("time", "seq", "offset")]
        columns.append(pl.Series("late", [row["late"] for row in rows], dtype=pl.Boolean))
        for name, text in source.fields.items():
            dtype = parse_type(text)
            values = [declared(row[name], dtype) for row in rows]
            columns.append(
                pl.Series(name, values, dtype=pl.Int64) if dtype == TIMESTAMP else series(name, values, dtype)
            )
        found[topic] = pl.DataFrame(columns)
    return found


def served(algorithm: Algorithm, made: World, online: OnlineStore) -> list[tuple[Extraction, dict[str, Any]]]:
    """Answers to all that is asked, each at its position of the state, with their records; every one asked twice."""

    def read(table: str, keys: Any) -> list[bytes | None]:
        with online.read() as transaction:
            return transaction.get_many(table, keys)

    tiles = TileEngine(groups(algorithm.declaration), read, predicates(algorithm.declaration))
    rows = RowEngine(row_sources(algorithm.declaration), read)
    extractor = Extractor(algorithm, online)
    found = []
    at = 0
    for position, request, user, items, time in made.asks:
        if position > at:
            batch = frames(algorithm, made, at, position)
            events = {topic: frame.filter(~pl.col("late")) for topic, frame in batch.items()}
            if at == 0:
                changes = [*tiles.build_from_history(events), *rows.build_from_history(events)]
            else:
                for topic, frame in events.items():
                    tiles.process_batch(frame, topic)
                    rows.process_batch(frame, topic)
                changes = [*tiles.changes(), *rows.changes()]
            with online.write() as transaction:
                for table in {*tiles.groups, *rows.sources, *(name for name, _, _ in changes)}:
                    transaction.make(table)
                    transaction.put_many(table, [(key, data) for name, key, data in changes if name == table])
                transaction.set_position({0: position})
            at = position
        answer = extractor.extract(request, user, items, time)
        again = extractor.extract(request, user, items, time)
        assert answer.degraded == []
        assert_frame_equal(answer.features, again.features, check_exact=True)
        assert answer.rows == again.rows
        count = len(items) if items is not None else 1
        record = {
            "trace": "t", "time": time, "position": {"0": position}, "rows": answer.rows, "request": request,
            "user": user, "items": items, "kept": list(range(count)), "whole": True, "degraded": [],
        }  # fmt: skip
        found.append((answer, json.loads(text_of(snapshot(record, answer, record["kept"])))))
    return found


def agrees(seed: int, folder: Path) -> None:
    """Served, logged, recomputed and reference values of one made-up algorithm are the same."""
    made = world(seed)
    algorithm = written(folder, made.declared)
    again = written(folder, algorithm.declaration.model_dump(mode="json", by_alias=True))
    assert again.declaration == algorithm.declaration
    assert (again.digest, again.plan.hash) == (algorithm.digest, algorithm.plan.hash)
    with opened(folder) as online:
        found = served(algorithm, made, online)
    events = {topic: frame.lazy() for topic, frame in frames(algorithm, made).items()}
    records = [record for _, record in found]

    report = check(algorithm, records, events)
    assert report.skipped == {}
    assert (report.mismatches, report.missing, report.extra, report.versions) == (0, 0, 0, 0), report.by_feature

    online_features = pl.concat([answer.features for answer, _ in found])
    batch = backfill(algorithm, request_rows(algorithm, records).lazy(), events, inputs=True).collect()
    assert_frame_equal(batch.select(list(algorithm.plan.features)), online_features, check_exact=True)

    inputs = batch.select(list(algorithm.plan.input_schema()))
    assert_frame_equal(algorithm.plan.evaluate_lazy(inputs.lazy()).collect(), online_features, check_exact=True)
    against_reference(algorithm, inputs, online_features)


def against_reference(algorithm: Algorithm, inputs: pl.DataFrame, features: pl.DataFrame) -> None:
    """Plain Python gives the same, but for features whose one home is a library's exponential or trigonometry."""
    plan = algorithm.plan
    inexact: set[str] = set()
    for _ in plan.computed:
        for feature in plan.computed:
            for node in walk(feature.node):
                through = isinstance(node, Column) and node.feature and node.name in inexact
                if through or (isinstance(node, Call) and node.operator.name in INEXACT):
                    inexact.add(feature.name)
    types = input_types(plan)
    cells = {
        name: (inputs[name].cast(pl.Int64) if dtype == TIMESTAMP else inputs[name]).to_list()
        for name, dtype in types.items()
    }
    wanted = {name: features[name].to_list() for name in features.columns}
    for at in range(0, inputs.height, 3):
        row = {name: from_frame_value(values[at], types[name]) for name, values in cells.items()}
        reference = plan.reference(row)
        for name, dtype in plan.features.items():
            value = from_frame_value(wanted[name][at], dtype)
            assert name in inexact or same(value, reference[name], exact=True), (name, value, reference[name], row)


@pytest.mark.parametrize("first", range(0, SAMPLE, 10))
def test_generated_algorithms_agree(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 10):
        agrees(seed, tmp_path)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, ALL, CHUNK))
def test_generated_algorithms_agree_in_full(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + CHUNK):
        agrees(seed, tmp_path)


def test_requests_and_declarations_are_of_every_kind() -> None:
    made = [world(seed) for seed in range(SAMPLE)]
    values = " ".join(feature["value"] for one in made for feature in one.declared["features"].values())
    for part in ("smooth(", "w0.", "t0.", "item.", "user.", "request.", "decimal(2)", "lookup(", "steps(", " if "):
        assert part in values
    sides = {
        reader["side"] for one in made for name in ("tables", "aggregates") for reader in one.declared[name].values()
    }
    assert sides == {"request", "user", "item"}
    assert {type(value) for one in made for ask in one.asks for value in ask[1].values()} >= {str, dict, list}


def test_a_planted_difference_is_found(tmp_path: Path) -> None:
    made = next(one for one in map(world, range(1000, 1100)) if one.declared["aggregates"] and one.declared["tables"])
    algorithm = written(tmp_path, made.declared)
    with opened(tmp_path) as online:
        records = [record for _, record in served(algorithm, made, online)]
    fields = Fields(algorithm.declaration.request)
    assert fields.types
    events = {topic: frame.lazy() for topic, frame in frames(algorithm, made).items()}
    name = next(name for name, dtype in algorithm.plan.features.items() if dtype.element is None)
    value = records[0]["features"][name][0]
    records[0]["features"][name][0] = None if value is not None else True
    report = check(algorithm, records, events)
    assert (report.mismatches, report.missing + report.extra) == (1, 1)
