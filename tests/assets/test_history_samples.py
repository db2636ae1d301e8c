"""Samples of history: the earliest label inside the attribution, held against a naive program."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.features.history import lookahead, rows_of
from assets.samples import join
from saima.features.declaration import Aggregate, Declaration, Feature, Items, Label, Request, Source
from saima.worker.frames import sample_frame

HOUR = 3_600_000
END = 15 * HOUR
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
        labels = sorted(
            (at, number, amount)
            for number, (of, at, amount) in enumerate(paid)
            if of == trace and 0 <= at - time <= 6 * HOUR and at < END
        )
        if labels:
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
            "trace": [trace for trace, _, _ in paid],
            "time": [at for _, at, _ in paid],
            "seq": list(range(len(paid))),
            "amount": [amount for _, _, amount in paid],
        },
        schema={"trace": pl.String, "time": pl.Int64, "seq": pl.Int64, "amount": pl.Int64},
    )
    rows = join(features.lazy(), labels.lazy(), None, DECLARATION, END).collect()
    assert {row["trace"]: (row["label"], row["label_time"]) for row in rows.to_dicts()} == naive(asked, paid)
    assert rows["trace"].n_unique() == rows.height


def test_history_and_live_samples_are_rows_of_one_table() -> None:
    """Same columns, same types: what the stream worker appends fits what is written here."""
    features = pl.DataFrame({"trace": ["a"], "time": [0], "day": ["1970-01-01"], "price": [1.0]})
    labels = pl.DataFrame({"trace": ["a"], "time": [HOUR], "seq": [0], "amount": [3]})
    history = join(features.cast({"price": pl.Float32}).lazy(), labels.lazy(), None, DECLARATION, END).collect()
    live = sample_frame(DECLARATION)(pl.DataFrame(schema={"trace": pl.String}).to_arrow())
    assert dict(history.schema) == dict(live.schema)


RANKING = DECLARATION.model_copy(
    update={
        "request": Request(fields={"shelf": "string"}, items=Items(fields={"item_id": "string"})),
        "sources": {
            topic: Source(key="trace", fields={"trace": "string", "item_id": "string", "shelf": "string"})
            for topic in ("asked", "shown", "bought")
        },
        "features": {"shelf": Feature(value="request.shelf", dtype="string")},
        "label": Label.model_validate(
            {"from": "bought", "join": ["trace", "item"], "exposure": "shown", "scheme": "fnw", "attribution": "6h"}
        ),
    }
)


def happened(*rows: tuple[str, str, int]) -> pl.LazyFrame:
    frame = pl.DataFrame(list(rows), schema=["trace", "item_id", "time"], orient="row")
    return frame.with_columns(key="trace", seq=pl.lit(0)).lazy()


def test_a_ranking_has_a_row_for_each_candidate_that_was_shown_and_one_more_for_a_click() -> None:
    asked = pl.LazyFrame({"key": ["a", "b"], "time": [0, HOUR], "shelf": ["left", "right"]})
    candidates = pl.LazyFrame({"shelf": ["left", "left", "right"], "item_id": ["x", "y", "z"]})
    events = {"shown": happened(("a", "x", 1), ("b", "z", HOUR)), "bought": happened(("a", "x", HOUR), ("c", "x", 2))}
    rows = rows_of(RANKING, asked, candidates, events).collect()
    assert rows.select("trace", "item", "time", "request.shelf", "item.item_id").rows() == [
        ("a", "x", 0, "left", "x"),
        ("b", "z", HOUR, "right", "z"),
    ]
    features = rows.lazy().select("trace", "item", "time", day=pl.lit("1970-01-01"), shelf="request.shelf")
    made = join(features, events["bought"], events["shown"], RANKING, END).collect()
    assert made.select("trace", "item", "label", "label_time", "role", "shelf").rows() == [
        ("a", "x", 0.0, 1, "assumed_negative", "left"),
        ("a", "x", 1.0, HOUR, "correction", "left"),
        ("b", "z", 0.0, HOUR, "assumed_negative", "right"),
    ]
    assert dict(made.schema) == dict(sample_frame(RANKING)(pl.DataFrame(schema={"trace": pl.String}).to_arrow()).schema)
    assert lookahead(RANKING) == 1


def test_lookback_covers_windows_and_tables() -> None:
    from assets.features.history import lookback

    paid = {"from": "paid", "key": "trace", "measures": ["count"], "windows": ["25h"]}
    windows = {"paid": Aggregate.model_validate(paid)}
    assert lookback(DECLARATION) == 0
    assert lookback(DECLARATION.model_copy(update={"aggregates": windows})) == 2
