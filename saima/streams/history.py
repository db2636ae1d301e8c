"""The sample join over history: the rows that `schemes.rows` makes of every candidate, in one query.

A prediction of history and its labels are all there, so nothing waits: rows whose moment lies before the history's end
are those that the stream would have emitted.
"""

from __future__ import annotations

import polars as pl

from saima.features.declaration import Declaration
from saima.streams.samples import identity
from saima.streams.schemes import JoinSpec

KEY = ("trace", "item")


def sample_rows(
    spec: JoinSpec, predictions: pl.LazyFrame, labels: pl.LazyFrame, exposures: pl.LazyFrame, end: int
) -> pl.LazyFrame:
    """Rows of all predictions, in their order, then by moment.

    predictions: trace, item, time (of the part that holds the item); labels: trace, item, time, seq, value; exposures:
    trace, item, time (used where only exposed candidates make rows). Times are int64 ms UTC; rows with moment >= `end`
    are left out. Returns trace, item, label (float64), label_time (that of the label that made the row, else the row's
    moment) and role.
    """
    over = pl.col("time") + spec.attribution
    found = predictions.select(*KEY, "time").with_row_index("place")
    inside = (
        found.join(labels.select(*KEY, at="time", seq="seq", value="value"), on=KEY)
        .filter(pl.col("at").is_between("time", over))
        .sort("at", "seq")
        .group_by("place", maintain_order=True)
        .agg(first=pl.col("at").first(), value=pl.col("value").first())
    )
    found = found.join(inside, on="place", how="left")
    seen = pl.col("time")
    if spec.exposed:
        earliest = (
            found.join(exposures.select(*KEY, at="time"), on=KEY)
            .filter(pl.col("at") >= pl.col("time") - spec.attribution)
            .group_by("place")
            .agg(exposed=pl.col("at").min())
        )
        found = found.join(earliest, on="place", how="left")
        seen = pl.min_horizontal("exposed", "first")
    known = found.with_columns(over=over, seen=seen, positive=pl.col("value") if spec.valued else pl.lit(1.0))
    return (
        pl.concat(_rows(spec, known))
        .with_columns(moment=pl.max_horizontal("moment", "seen"))
        .filter((pl.col("seen") <= pl.col("over")) & (pl.col("moment") < end))
        .sort("place", "moment", "order")
        .select(*KEY, "label", pl.coalesce("of", "moment").alias("label_time"), "role")
    )


def outcomes(declaration: Declaration, topic: str, events: pl.LazyFrame) -> pl.LazyFrame:
    """Events of the label's or the exposure's topic for the join: trace, item, time, seq, value (float64)."""
    assert declaration.label is not None
    trace, item = identity(declaration, topic)
    value = declaration.label.value if topic == declaration.label.source else None
    return events.select(
        "time",
        "seq",
        trace=pl.col(trace).cast(pl.String),
        item=pl.lit("") if item is None else pl.col(item).cast(pl.String),
        value=pl.lit(1.0) if value is None else pl.col(value).cast(pl.Float64),
    ).drop_nulls(["trace", "item", "value"])


def _rows(spec: JoinSpec, known: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The rows of the scheme, one query a role."""
    first, over, positive = pl.col("first"), pl.col("over"), pl.col("positive")
    none, came = pl.lit(None, pl.Int64), pl.col("first").is_not_null()

    def made(which: pl.Expr, moment: pl.Expr, label: pl.Expr, role: str, of: pl.Expr, order: int = 0) -> pl.LazyFrame:
        return known.filter(which).select(
            "place",
            *KEY,
            "seen",
            "over",
            moment=moment.cast(pl.Int64),
            label=label.cast(pl.Float64),
            role=pl.lit(role),
            of=of,
            order=pl.lit(order),
        )

    if spec.scheme == "once":
        return [made(came, first, positive, "observed", first)]
    if spec.scheme == "waited":
        truth = pl.when(came).then(positive).otherwise(0.0)
        return [made(came if spec.valued else pl.lit(True), over, truth, "observed", first)]
    wait = pl.min_horizontal(pl.col("time") + (0 if spec.scheme in ("fnw", "fnc") else spec.wait), over)
    early = came & (first <= wait)
    rows = [
        made(came & (first <= wait), wait, positive, "observed", first),
        made(~early.fill_null(False), wait, pl.lit(0.0), "assumed_negative", none),
        made(came & (first > wait), first, positive, "correction", first, 1),
    ]
    if spec.scheme == "defer":
        rows += [
            made(early, over, positive, "real_positive", first, 1),
            made(~came, over, pl.lit(0.0), "real_negative", none, 1),
        ]
    return rows
