"""The IO manager of frames: assets hand frames over as tables, whole, by rows that fit a predicate, or by day."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.stores import Stores


class TablesIO(dg.ConfigurableIOManager):
    """Writes `pl.DataFrame` outputs to the table that the asset's metadata names and reads them as `pl.LazyFrame`.

    Metadata: `table`, its name; `where`, a SQL predicate that all of the asset's rows fit, since other writers share
    the table; `partition_column`, whose values are the partitions' keys, absent: `day`. A partitioned asset replaces
    the partitions of its run, in one commit however many they are.
    """

    stores: dg.ResourceDependency[Stores]

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        """Replace the asset's rows, or those of the run's partitions."""
        name, where = _target(context.definition_metadata)
        predicates = [where] if where else []
        if context.has_asset_partitions:
            column, parts = _column(context.definition_metadata), context.asset_partition_key_range
            predicates.append(f"{column} >= '{parts.start}' AND {column} <= '{parts.end}'")
            if column != "day":  # the table's own partitions, so that no other file is read
                predicates.append(f"day >= '{parts.start[:10]}' AND day <= '{parts.end[:10]}'")
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
            keys, column = context.asset_partition_keys, _column(context.upstream_output.definition_metadata)
            frame = frame.filter(pl.col(column).is_between(pl.lit(min(keys)), pl.lit(max(keys))))
        return frame


def _column(metadata: Mapping[str, Any] | None) -> str:
    return str((metadata or {}).get("partition_column", "day"))


def _target(metadata: Mapping[str, Any] | None) -> tuple[str, str | None]:
    values = metadata or {}
    name = values.get("table")
    if not name:
        raise dg.DagsterInvariantViolationError("an asset with the io manager 'tables' names its table in its metadata")
    where = values.get("where")
    return str(name), str(where) if where else None
