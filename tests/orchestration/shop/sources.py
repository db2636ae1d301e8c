"""Recorded events of the shops: a payment comes an hour after its question."""

import polars as pl

HISTORY_START = 1_700_006_400_000
HISTORY_END = HISTORY_START + 2 * 86_400_000


def recorded_events(datasets):
    rows = pl.DataFrame({"n": range(2_000)}).with_columns(
        time=HISTORY_START + pl.col("n") * 100_000,
        trace=pl.format("t{}", pl.col("n")),
        shop=pl.format("s{}", pl.col("n") % 7),
        price=(pl.col("n") * 7919 % 97).cast(pl.Float64),
    )
    envelope = {"key": pl.col("trace"), "seq": pl.col("n"), "trace": pl.col("trace"), "shop": pl.col("shop")}
    asked = rows.select(type=pl.lit("asked"), time="time", id=pl.format("a{}", pl.col("n")), price="price", **envelope)
    paid = rows.select(
        type=pl.lit("paid"),
        time=pl.col("time") + 3_600_000,
        id=pl.format("p{}", pl.col("n")),
        amount=pl.col("price").cast(pl.Int64) * 2 + pl.col("n") % 7,
        **envelope,
    )
    return {"asked": asked.lazy(), "paid": paid.lazy()}
