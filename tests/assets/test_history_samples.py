"""Samples of history: the earliest label inside the attribution, held against a naive program."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.samples import join
from saima.features.declaration import Aggregate, Declaration, Feature, Label, Request, Source
from saima.worker.frames import sample_frame

HOUR = 3_600_000
LABEL = Label.model_validate({"from": "paid", "value": "amount", "attribution": "6h"})
DECLARATION = Declaration(
    algorithm="shop",
    request=Request(fields={"price": "float64"}),
    sources={"paid": Source(key="trace", fields={"trace": "string", "amount": "int64"})},
    features={"price": Feature(value="request.price", dtype="float32")},
    label=LABEL,
)

Paid = tuple[str, int, int]


def naive(asked: dict[str, int], paid: list[Paid]) -> dict[str, tuple[float, int]]:
    found = {}
    for trace, time in asked.items():
        labels = sorted((at, number, amount) for number, (of, at, amount) in enumerate(paid) if of == trace)
        if labels and 0 <= labels[0][0] - time <= 6 * HOUR:
            found[trace] = (float(labels[0][2]), labels[0][0])
    return found


@given(
    asked=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10 * HOUR)),
    paid=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20 * HOUR), st.integers(-50, 50)), max_size=12),
)
def test_join_is_the_naive_program(asked: dict[str, int], paid: list[Paid]) -> None:
    features = pl.DataFrame(
        [(trace, time, "1970-01-01", 1.0) for trace, time in asked.items()],
        schema={"trace": pl.String, "time": pl.Int64, "day": pl.String, "price": pl.Float32},
        orient="row",
    )
    labels = pl.DataFrame(
        {
            "key": [trace for trace, _, _ in paid],
            "time": [at for _, at, _ in paid],
            "seq": list(range(len(paid))),
            "amount": [amount for _, _, amount in paid],
        },
        schema={"key": pl.String, "time": pl.Int64, "seq": pl.Int64, "amount": pl.Int64},
    )
    rows = join(features.lazy(), labels.lazy(), DECLARATION, LABEL).collect()
    assert {row["trace"]: (row["label"], row["label_time"]) for row in rows.to_dicts()} == naive(asked, paid)
    assert rows["trace"].n_unique() == rows.height


def test_history_and_live_samples_are_rows_of_one_table() -> None:
    """Same columns, same types: what the stream worker appends fits what is written here."""
    features = pl.DataFrame({"trace": ["a"], "time": [0], "day": ["1970-01-01"], "price": [1.0]})
    labels = pl.DataFrame({"key": ["a"], "time": [HOUR], "seq": [0], "amount": [3]})
    history = join(features.cast({"price": pl.Float32}).lazy(), labels.lazy(), DECLARATION, LABEL).collect()
    live = sample_frame(DECLARATION)(pl.DataFrame(schema={"trace": pl.String}).to_arrow())
    assert dict(history.schema) == dict(live.schema)


def test_lookback_covers_windows_and_tables() -> None:
    from assets.features.history import lookback

    paid = {"from": "paid", "key": "trace", "measures": ["count"], "windows": ["25h"]}
    windows = {"paid": Aggregate.model_validate(paid)}
    assert lookback(DECLARATION) == 0
    assert lookback(DECLARATION.model_copy(update={"aggregates": windows})) == 2
