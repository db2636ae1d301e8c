"""The latency path ends in the bytes of the throughput path."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from saima.features.declaration import Declaration
from saima.features.lookups import row_sources
from saima.features.windows import groups
from saima.streams import few
from saima.streams.tiles import RowEngine, TileEngine

DECLARATION = Declaration.model_validate(
    {
        "algorithm": "a",
        "sources": {
            "s": {
                "key": "k",
                "fields": {"k": "string", "n": "int64", "b": "bool", "f": "float64", "g": "float32", "at": "timestamp"},
            }
        },
        "request": {"fields": {"k": "string", "n": "int64", "b": "bool"}},
        "tables": {
            "newest": {"source": "s", "key": "k"},
            "known": {"source": "s", "key": ["n", "b"], "valid_from": "at", "known_at": "time"},
        },
        "aggregates": {
            "count": {"from": "s", "key": "k", "measures": ["count"], "windows": ["1h"]},
            "ints": {
                "from": "s",
                "key": ["b", "n"],
                "value": "n",
                "measures": ["sum", "last"],
                "windows": ["1h", "24h"],
            },
            "floats": {"from": "s", "key": "n", "value": "f", "measures": ["mean"], "windows": ["1h"], "exact": False},
            "narrow": {"from": "s", "key": "k", "value": "g", "measures": ["max", "first"], "windows": ["1h"]},
            "texts": {"from": "s", "key": "n", "value": "k", "measures": ["distinct", "last_k"], "windows": ["6h"]},
        },
        "features": {"x": {"value": "1", "dtype": "int64"}},
    }
)
SCHEMA = pa.schema(
    [("time", pa.int64()), ("seq", pa.int64()), ("offset", pa.int64()), ("k", pa.string()), ("n", pa.int64()),
     ("b", pa.bool_()), ("f", pa.float64()), ("g", pa.float32()), ("at", pa.int64())]
)  # fmt: skip
NOW = 1_700_000_000_000
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.integers(NOW, NOW + 40_000_000),
            "seq": st.integers(0, 3),
            "offset": st.just(0),
            "k": st.sampled_from(["a", "ä", "", None]),
            "n": st.sampled_from([0, -1, 2**53, None]),
            "b": st.sampled_from([True, False, None]),
            "f": st.sampled_from([0.1, -0.0, 1e300, float("nan"), None]),
            "g": st.sampled_from([0.1, -0.0, 3.5, float("nan"), None]),
            "at": st.one_of(st.none(), st.integers(NOW - 1000, NOW + 1000)),
        }
    ),
    min_size=1,
    max_size=few.FEW,
)


@given(ROWS, st.integers(1, few.FEW))
def test_both_paths_end_in_equal_bytes(rows: list[dict[str, object]], size: int) -> None:
    for offset, row in enumerate(rows, 1):
        row["offset"] = offset
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    windows, latest = groups(DECLARATION), row_sources(DECLARATION)
    slow, slow_rows = TileEngine(windows), RowEngine(latest)
    quick, quick_rows = TileEngine(windows), RowEngine(latest)
    slow.process_batch(pl.DataFrame(table), "s")
    slow_rows.process_batch(pl.DataFrame(table), "s")
    for start in range(0, table.num_rows, size):
        columns = few.columns(table.slice(start, size), [*windows, *latest])
        assert columns is not None
        quick.process_few(columns, "s")
        quick_rows.process_few(columns, "s")
    assert quick.changes() == slow.changes()
    assert quick_rows.changes() == slow_rows.changes()


def test_what_only_polars_defines_takes_the_throughput_path() -> None:
    table = pa.table({"time": [1] * 100, "seq": [0] * 100, "offset": [1] * 100, "k": ["a"] * 100})
    (count,) = [group for group in groups(DECLARATION) if group.value is None]
    assert few.columns(table, [count]) is None
    assert few.columns(table.slice(0, 3), [count]) is not None
    odd = table.set_column(3, "k", pa.array([0.1] * 100)).slice(0, 3)
    assert few.columns(odd, [count]) is None
