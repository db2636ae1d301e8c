"""Latest-value tables over history: the row of every request at once, equal to the online read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from saima.features.codes import KeyCodes, Moments
from saima.features.lookups import PREFIX, RowSource

Ints = npt.NDArray[np.int64]


class RowHistory:
    """All versions of a row source, ready for any number of reads."""

    def __init__(self, versions: pl.DataFrame, source: RowSource) -> None:
        """`versions` as `lookups.versions` returns them."""
        self._keys = KeyCodes(versions.get_column(f"{PREFIX}key"))
        code = pl.Series(f"{PREFIX}code", self._keys.codes)
        order = [code.name, f"{PREFIX}valid_from", f"{PREFIX}known_at", "seq", f"{PREFIX}offset"]
        frame = versions.with_columns(code).sort(order, maintain_order=True)
        self.source = source
        self.frame = frame.drop(code.name)
        self._valid_from: Ints = frame.get_column(f"{PREFIX}valid_from").to_numpy()
        self._known_at: Ints = frame.get_column(f"{PREFIX}known_at").to_numpy()
        self._offsets: Ints = frame.get_column(f"{PREFIX}offset").to_numpy()
        self._moments = Moments(self._keys, self._valid_from)
        starts = self._moments.start(frame.get_column(code.name).to_numpy())
        self._places = self._moments.places(starts, self._valid_from)

    def read(self, keys: pl.Series, q: Ints, ttl: int | None = None, position: Ints | None = None) -> Ints:
        """Index into `frame` of the row of each (key, q), -1 where it is missing.

        `position`: only versions with offset <= position exist for a row.
        """
        codes = self._keys.of(keys)
        known = codes >= 0
        starts = self._moments.start(np.maximum(codes, 0))
        at = np.where(known, np.searchsorted(self._places, self._moments.places(starts, q + 1)) - 1, -1)
        first = np.where(known, np.searchsorted(self._places, starts), 0)
        at[at < first] = -1
        open_rows = np.flatnonzero(at >= 0)
        while len(open_rows):  # step back over versions that were not yet known, or not yet read from the log
            hidden = self._known_at[at[open_rows]] > q[open_rows]
            if position is not None:
                hidden |= self._offsets[at[open_rows]] > position[open_rows]
            open_rows = open_rows[hidden]
            at[open_rows] -= 1
            ended = at[open_rows] < first[open_rows]
            at[open_rows[ended]] = -1
            open_rows = open_rows[~ended]
        if ttl is not None and len(self._valid_from):
            at[(at >= 0) & (self._valid_from[at] < q - ttl)] = -1
        return at

    def find(self, keys: pl.Series, logged: Sequence[Sequence[int | None] | None]) -> Ints:
        """Index into `frame` of each key's logged version, as `version` gives it: -1 for None, -2 for one not there."""
        columns = [f"{PREFIX}{name}" for name in ("key", "valid_from", "known_at", "offset")]
        last = self.frame.select(pl.col(columns)).with_row_index("at").unique(columns, keep="last")
        known = 1 if self.source.known_at else 0  # a table without known_at logs null, and holds valid_from
        wanted = pl.DataFrame(
            [keys, *(pl.Series([row and row[i] for row in logged], dtype=pl.Int64) for i in (0, known, 2))], columns
        )
        found = wanted.join(last, on=columns, how="left", maintain_order="left").get_column("at").cast(pl.Int64)
        missing = wanted.get_column(columns[1]).is_null()
        at: Ints = pl.select(pl.when(missing).then(-1).otherwise(found.fill_null(-2))).to_series().to_numpy()
        return at

    def columns(self, at: Ints, names: Sequence[str]) -> list[pl.Series]:
        """Columns of the rows read, null where missing: the source's, `time`, and the version's two times."""
        names = [f"{PREFIX}{name}" if name in ("valid_from", "known_at") else name for name in names]
        index = pl.Series(np.where(at < 0, 0, at))
        missing = pl.lit(pl.Series(at < 0))
        if self.frame.is_empty():
            return [pl.Series(name, [None] * len(at), dtype=self.frame.schema[name]) for name in names]
        taken = self.frame.select(pl.col(names).gather(index))
        return taken.select(pl.when(~missing).then(pl.col(names))).get_columns()

    def version(self, at: int) -> list[int | None] | None:
        """Version of one row read, for the journal: [valid_from, known_at or null, offset]."""
        if at < 0:
            return None
        known = int(self._known_at[at]) if self.source.known_at else None
        return [int(self._valid_from[at]), known, int(self._offsets[at])]
