"""Recorded shelves: of each one thing is seen, and every seventh is taken a minute later."""

import polars as pl

HISTORY_START = 1_700_006_400_000
HISTORY_END = HISTORY_START + 86_400_000
BASELINE = ("item_seen",)


def recorded_events(datasets):
    rows = pl.DataFrame({"n": range(1_000)}).with_columns(
        time=HISTORY_START + pl.col("n") * 100_000,
        trace=pl.format("t{}", pl.col("n")),
        shelf=pl.when(pl.col("n") % 2 == 0).then(pl.lit("left")).otherwise(pl.lit("right")),
    )
    item = pl.format("{}-{}", "shelf", pl.col("n") % 3)
    envelope = {"key": pl.col("trace"), "seq": pl.col("n"), "trace": pl.col("trace")}
    asked = rows.select(
        type=pl.lit("asked"),
        time="time",
        id=pl.format("a{}", "n"),
        shelf="shelf",
        taste=pl.concat_list((pl.col("n") % (place + 2)).cast(pl.Float32) for place in range(3)),
        **envelope,
    )
    shown = rows.select(
        type=pl.lit("shown"), time=pl.col("time") + 50, id=pl.format("s{}", "n"), item_id=item, **envelope
    )
    taken = rows.filter(pl.col("n") % 7 == 0).select(
        type=pl.lit("taken"), time=pl.col("time") + 60_000, id=pl.format("k{}", "n"), item_id=item, **envelope
    )
    return {"asked": asked.lazy(), "shown": shown.lazy(), "taken": taken.lazy()}


def candidates(datasets):
    return pl.LazyFrame(
        [(shelf, f"{shelf}-{place}", place) for shelf in ("left", "right") for place in range(3)],
        schema=["shelf", "item_id", "place"],
        orient="row",
    )
