"""Windows and rows of a shard by the fields of their keys: an engine never sees rows of keys that others own."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from saima.features.keys import key_expr
from saima.features.lookups import RowSource
from saima.features.windows import Group
from saima.stores.shards import Share
from saima.worker.catalog import Catalog


@dataclass(frozen=True)
class Part:
    """Definitions whose keys are made of the same fields. Alone, a shard has one part of all definitions."""

    key: tuple[str, ...]
    groups: tuple[Group, ...]
    rows: tuple[RowSource, ...]
    share: Share

    @property
    def topics(self) -> set[str]:
        """Topics that the definitions are made of."""
        return {group.source for group in self.groups} | {source.source for source in self.rows}

    def own(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The rows whose key the shard owns."""
        if self.share.alone:
            return frame
        return frame.filter(self._key().map_batches(self.share.mask, return_dtype=pl.Boolean))

    def own_rows(self, table: pa.Table) -> pa.Table:
        """The same of an Arrow table."""
        if self.share.alone:
            return table
        keys = pl.DataFrame(table.select(list(self.key))).select(self._key()).to_series()
        return table.filter(self.share.mask(keys).to_arrow())

    def _key(self) -> pl.Expr:
        return key_expr([pl.col(name) for name in self.key])


def parts(catalog: Catalog, share: Share) -> list[Part]:
    """The definitions of a catalog for a shard; an engine for each part sees what it owns and nothing else."""
    groups, rows = list(catalog.groups.values()), list(catalog.rows.values())
    if share.alone:
        return [Part((), tuple(groups), tuple(rows), share)]
    keys = dict.fromkeys([*(group.key for group in groups), *(source.key for source in rows)])
    return [
        Part(key, tuple(g for g in groups if g.key == key), tuple(r for r in rows if r.key == key), share)
        for key in keys
    ]
