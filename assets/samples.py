"""The samples: snapshots joined with what happened. History's are written here, the stream worker appends live ones."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import polars as pl

from assets import gates, keys, plots, schema
from assets.features.history import NAME as FEATURES
from saima.features import Algorithm
from saima.features.declaration import Declaration, Label
from saima.features.durations import milliseconds

NAME = "samples"


def samples(algorithm: Algorithm, label: Label) -> dg.AssetsDefinition:
    """Asset that joins history's features with the labels that had come before the history's end."""
    name, declaration = algorithm.name, algorithm.declaration
    asset = keys.key(name, NAME)
    features, labels = keys.key(name, FEATURES), keys.history(name, label.source)

    @dg.asset(
        key=asset,
        ins={
            "features": dg.AssetIn(features, partition_mapping=dg.AllPartitionMapping()),
            "labels": dg.AssetIn(labels, partition_mapping=dg.AllPartitionMapping()),
        },
        **keys.common(declaration, keys.SAMPLES),
        kinds={"deltalake", "polars"},
        description="One row a prediction with its outcome: features as they were at the prediction, the label, the "
        "version and arm that answered. Rows of history are made here; the stream worker appends the live ones.",
        io_manager_key="tables",
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=2)),
        code_version=algorithm.plan.hash[:12],
        metadata={
            "table": f"{name}/{NAME}",
            "where": "offset = 0",
            "dagster/column_schema": schema.of_samples(declaration),
            "dagster/column_lineage": dg.TableColumnLineage(
                {
                    **schema.same_columns(features, ["trace", "time", "day", *declaration.features]),
                    "label": [dg.TableColumnDep(asset_key=labels, column_name=label.value or "time")],
                    "label_time": [dg.TableColumnDep(asset_key=labels, column_name="time")],
                }
            ),
        },
        check_specs=gates.specs(algorithm, asset, f"{name}/{NAME}"),
    )
    def samples(
        features: pl.LazyFrame, labels: pl.LazyFrame
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        rows = join(features, labels, declaration, label).collect()
        yield dg.Output(
            rows,
            metadata={
                "dagster/row_count": rows.height,
                "mean_label": float(rows.select(pl.col("label").mean()).item() or 0.0),
                "labels": plots.distribution(rows["label"].to_numpy(), "Labels", label.value or "label"),
            },
        )
        yield from gates.results(algorithm, asset, f"{name}/{NAME}", rows)

    return samples


def join(features: pl.LazyFrame, labels: pl.LazyFrame, declaration: Declaration, label: Label) -> pl.LazyFrame:
    """Samples of history: the earliest label of each trace within the attribution, with weight 1.

    features: trace, time, day and the feature columns; labels: events of the label's source, joined by their key. A
    label at exactly the attribution's end is inside. Columns are those of the live samples, offset 0.
    """
    value = pl.col(label.value).cast(pl.Float64) if label.value else pl.lit(1.0)
    happened = (
        labels.sort("time", "seq")
        .group_by("key", maintain_order=True)
        .first()
        .select(trace=pl.col("key"), label=value, label_time=pl.col("time"))
    )
    after = pl.col("label_time") - pl.col("time")
    text = [pl.lit(None, pl.String).alias(name) for name in ("lineage", "experiment", "arm", "unit")]
    outputs = [f"out.{name}.{model.output}" for name, model in declaration.models.items()]
    return (
        features.join(happened, on="trace", how="inner")
        .filter(after.is_between(0, milliseconds(label.attribution)))
        .select(
            "trace",
            pl.lit("").alias("item"),
            "time",
            "label",
            "label_time",
            pl.lit(0, pl.Int64).alias("label_offset"),
            pl.lit(0, pl.Int64).alias("label_appended"),
            pl.lit("final").alias("role"),
            pl.lit(1.0).alias("weight"),
            pl.lit(None, pl.Int64).alias("version"),
            *text,
            pl.lit(None, pl.Float64).alias("score"),
            pl.lit(0, pl.Int64).alias("offset"),
            "day",
            *(pl.lit(None, pl.Float64).alias(name) for name in outputs),
            *declaration.features,
        )
    )
