"""The samples: snapshots joined with what happened. History's are written here, the stream worker appends live ones."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import polars as pl

from assets import gates, keys, plots, schema
from assets.features.history import NAME as FEATURES
from assets.recordings import Recording
from saima.features import Algorithm
from saima.features.declaration import Declaration, Label
from saima.streams.history import outcomes, sample_rows
from saima.streams.samples import join_spec

NAME = "samples"


def samples(algorithm: Algorithm, label: Label, recording: Recording) -> dg.AssetsDefinition:
    """Asset that joins history's features with the labels that had come before the history's end."""
    name, declaration = algorithm.name, algorithm.declaration
    asset = keys.key(name, NAME)
    features, labels = keys.key(name, FEATURES), keys.history(name, label.source)
    identity = ["trace"] if declaration.request.items is None else ["trace", "item"]
    upstream = {"features": features, "labels": labels}
    if label.exposure is not None:
        upstream["exposures"] = keys.history(name, label.exposure)

    @dg.asset(
        key=asset,
        ins={each: dg.AssetIn(of, partition_mapping=dg.AllPartitionMapping()) for each, of in upstream.items()},
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
                    **schema.same_columns(features, [*identity, "time", "day", *declaration.features]),
                    "label": [dg.TableColumnDep(asset_key=labels, column_name=label.value or "time")],
                    "label_time": [dg.TableColumnDep(asset_key=labels, column_name="time")],
                }
            ),
        },
        check_specs=gates.specs(algorithm, asset, f"{name}/{NAME}"),
    )
    def samples(
        features: pl.LazyFrame, labels: pl.LazyFrame, **exposures: pl.LazyFrame
    ) -> Iterator[dg.Output[pl.DataFrame] | dg.AssetCheckResult]:
        rows = join(features, labels, exposures.get("exposures"), declaration, recording.end).collect()
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


def join(
    features: pl.LazyFrame, labels: pl.LazyFrame, exposures: pl.LazyFrame | None, declaration: Declaration, end: int
) -> pl.LazyFrame:
    """Samples of history, as the stream would have emitted them before `end`, the history's (ms UTC).

    features: trace, item where the algorithm ranks, time, day and the feature columns; labels and exposures: events of
    the label's source and of its exposure. Columns are those of the live samples; weight 1, offset 0.
    """
    label = declaration.label
    assert label is not None
    if "item" not in features.collect_schema().names():
        features = features.with_columns(item=pl.lit(""))
    happened = outcomes(declaration, label.source, labels)
    shown = happened.head(0) if exposures is None else outcomes(declaration, label.exposure or "", exposures)
    rows = sample_rows(join_spec(declaration), features, happened, shown, end)
    text = [pl.lit(None, pl.String).alias(name) for name in ("lineage", "experiment", "arm", "unit")]
    outputs = [f"out.{name}.{output}" for name, model in declaration.models.items() for output in model.produced]
    return rows.join(features, on=["trace", "item"], how="inner", maintain_order="left").select(
        "trace",
        "item",
        "time",
        "label",
        "label_time",
        pl.lit(0, pl.Int64).alias("label_offset"),
        pl.lit(0, pl.Int64).alias("label_appended"),
        "role",
        pl.lit(1.0).alias("weight"),
        pl.lit(None, pl.Int64).alias("version"),
        *text,
        pl.lit(None, pl.Float64).alias("score"),
        pl.lit(0, pl.Int64).alias("offset"),
        "day",
        *(pl.lit(None, pl.Float64).alias(name) for name in outputs),
        *declaration.features,
    )
