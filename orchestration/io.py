"""The IO manager of frames: assets hand frames over as tables, whole, by rows that fit a predicate, or by day."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.stores import Stores


class TablesIO(dg.ConfigurableIOManager):
    """Writes `pl.DataFrame` outputs to the table that the asset's metadata names and reads them as `pl.LazyFrame`.

    Metadata: `table`, its name; `where`, a SQL predicate that all of the asset's rows fit, since other writers share
    the table. A partitioned asset replaces the days of its run, in one commit however many they are.
    """

    stores: dg.ResourceDependency[Stores]

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        """Replace the asset's rows, or those of the run's partitions."""
        name, where = _target(context.definition_metadata)
        predicates = [where] if where else []
        if context.has_asset_partitions:
            days = context.asset_partition_key_range
            predicates.append(f"day >= '{days.start}' AND day <= '{days.end}'")
        tables = self.stores.tables
        tables.replace(name, obj, " AND ".join(predicates) or None)
        context.add_output_metadata({"table": name, "version": tables.version(name), "columns": obj.width})

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        """Rows of the upstream asset: of the mapped partitions, or all of them."""
        assert context.upstream_output is not None
        name, where = _target(context.upstream_output.definition_metadata)
        frame = self.stores.tables.scan(name)
        if where:
            frame = frame.sql(f"SELECT * FROM self WHERE {where}")  # noqa: S608 - the predicate is the asset's own
        if context.has_asset_partitions and context.asset_partition_keys:
            keys = context.asset_partition_keys
            frame = frame.filter(pl.col("day").is_between(pl.lit(min(keys)), pl.lit(max(keys))))
        return frame


def _target(metadata: Mapping[str, Any] | None) -> tuple[str, str | None]:
    values = metadata or {}
    name = values.get("table")
    if not name:
        raise dg.DagsterInvariantViolationError("an asset with the io manager 'tables' names its table in its metadata")
    where = values.get("where")
    return str(name), str(where) if where else None
