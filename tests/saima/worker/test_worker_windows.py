"""The windows of the worker's engines over a real store: batches, handfuls, restarts and the batch path agree."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
from hypothesis import given, settings

from saima.features.declaration import Declaration
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.shards import Share
from saima.streams.aggregation.columns import ColumnTiles
from saima.streams.aggregation.rows import RowTiles
from saima.streams.tiles import TileEngine
from saima.worker.catalog import catalog
from saima.worker.engines import Engines
from saima.worker.history import build
from saima.worker.intake import Batch

NOW, MINUTE = 1_700_000_000_000, 60_000
DECLARATION = Declaration.model_validate(
    {
        "algorithm": "a",
        "sources": {
            "s": {"key": "k", "fields": {"k": "string", "n": "int64", "note": "string"}, "lateness": "1h"},
            "t": {"key": "k", "fields": {"k": "string", "x": "float64"}, "lateness": "1h"},
        },
        "request": {"fields": {"k": "string", "n": "int64"}},
        "aggregates": {
            "spent": {"from": "s", "key": "k", "value": "n", "measures": ["sum", "max"], "windows": ["1h", "24h"]},
            "some": {"from": "s", "key": ["k", "n"], "measures": ["count"], "windows": ["1h"], "where": "n > 0"},
            "means": {"from": "t", "key": "k", "value": "x", "measures": ["mean"], "windows": ["1h"], "exact": False},
            "least": {"from": "t", "key": "k", "value": "x", "measures": ["min"], "windows": ["13d"], "exact": False},
        },
        "features": {"f": {"value": "1", "dtype": "int64"}},
    }
)
KNOWN = catalog({"a": DECLARATION})
EVENT = st.tuples(
    st.sampled_from(["s", "s", "t"]),
    st.sampled_from([0, 1, MINUTE, 50 * MINUTE, 26 * 60 * MINUTE]),
    st.sampled_from([0, 0, MINUTE, 60 * MINUTE]),
    st.sampled_from(["a", "b", "é", None]),
    st.sampled_from([-1, 0, 7, 2**40, None]),
    st.sampled_from([False, False, False, True]),
)


Found = list[tuple[str, int, int, str | None, int | None, bool]]


def batches(found: Found, sizes: list[int]) -> list[Batch]:
    """What the intake would make of events in order of arrival, cut into batches of the sizes, again and again."""
    rows, clock = [], NOW
    for offset, (topic, step, back, key, number, late) in enumerate(found, 1):
        clock += step
        own = {"n": number, "note": "é"} if topic == "s" else {"x": None if number is None else number / 8}
        envelope = {"key": key, "time": clock - back, "seq": offset % 3, "id": str(offset), "appended": clock}
        rows.append((topic, {**envelope, "k": key, **own, "offset": offset, "late": late}))
    made, at = [], 0
    while at < len(rows):
        part = rows[at : at + sizes[len(made) % len(sizes)]]
        at += len(part)
        batch = Batch(rows=len(part), last=at)
        for topic in dict.fromkeys(topic for topic, _ in part):
            schema = KNOWN.topics[topic].schema
            for name, kind in (("offset", pa.int64()), ("late", pa.bool_())):
                schema = schema.append(pa.field(name, kind))
            batch.tables[topic] = pa.Table.from_pylist([row for one, row in part if one == topic], schema=schema)
            batch.late += sum(row["late"] for one, row in part if one == topic)
        made.append(batch)
    return made


def test_arrays_hold_what_they_can() -> None:
    held = {group.value: type(TileEngine([group], predicates=KNOWN.predicates).tiles[table])
            for table, group in KNOWN.groups.items()}  # fmt: skip
    assert held == {"n": ColumnTiles, None: ColumnTiles, "x": RowTiles}


@given(found=st.lists(EVENT, min_size=1, max_size=200), data=st.data())
@settings(max_examples=12, deadline=None)
def test_stream_and_history_agree_wherever_the_engines_stop(found: Found, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.sampled_from([1, 3, 60, 150]), min_size=1, max_size=4))
    with TemporaryDirectory() as folder:
        online = open_online(0, Settings(home=Path(folder), fsync=False), writer=True)
        engines = Engines(KNOWN, online, {}, Share(0, 1))
        accepted: dict[str, list[pl.DataFrame]] = {}
        for batch in batches(found, sizes):
            engines.process(batch)
            with online.write() as transaction:
                for table, key, packed in engines.changes():
                    transaction.put_many(table, [(key, packed)])
            if data.draw(st.booleans()):
                engines = Engines(KNOWN, online, {}, Share(0, 1))
            for topic, table in batch.tables.items():
                accepted.setdefault(topic, []).append(pl.DataFrame(table).filter(~pl.col("late")))
        frames = {topic: pl.concat(parts).lazy() for topic, parts in accepted.items()}
        wanted = {(table, key): packed for table, key, packed in build(KNOWN, set(KNOWN.groups), frames)}
        with online.read() as read:
            held = {(table, key): packed for table in KNOWN.groups for key, packed in read.scan(table)}
        online.close()
    assert held == wanted
