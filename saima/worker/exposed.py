"""Follows the journal for the first exposures of a running experiment: how many units came to each arm.

The fact `srm/<algorithm>/<experiment>` holds the units seen, so that each is counted once, and how far the journal has
been read, in one: a process that dies in between counts no unit twice.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from xxhash import xxh3_64_intdigest

from saima.routing.deployment import AlgorithmState
from saima.routing.experiments import EXPOSED, Experiment
from saima.stores.interfaces import Registry, Tables
from saima.worker.slices import records

ROWS = 10_000
"""Most rows of the journal that a look reads for an experiment."""

UNITS = 50_000
"""Units after which an experiment's ratio is no longer looked at: by then 2 % too many in an arm have been seen."""

_RECORD = pl.Struct(
    {
        "layers": pl.List(pl.List(pl.String)),
        "degraded": pl.List(pl.String),
        "shadow": pl.Boolean,
        "override": pl.Boolean,
        "epoch": pl.Int64,
    }
)
"""layers: [layer, experiment, arm, propensity, reason, unit] each."""


class Arms(NamedTuple):
    """Units by arm, and whether the journal has more rows."""

    units: dict[str, int]
    more: bool


class Exposed:
    """First exposures by arm."""

    def __init__(self, registry: Registry, tables: Tables) -> None:
        self._registry = registry
        self._tables = tables

    def look(self, algorithm: str, state: AlgorithmState, experiment: Experiment, epoch: int) -> Arms:
        """Take in what is new since the experiment started. Raises StoreError.

        Shadow and degraded answers and overrides are no exposures. After a forced change of its split the experiment is
        counted anew, from what was answered under `epoch`, the present one, on, and without those who keep an arm by a
        token of the split before.
        """
        name = f"srm/{algorithm}/{experiment.experiment}"
        started = state.started.get(experiment.experiment, 0)
        version = experiment.version(state.layout.salt_of(experiment.layer))
        known = self._registry.fact(name) or {}
        if known.get("started") != started:
            known = {"offset": 0, "version": version, "epoch": 0, "units": "", "counts": {}}
        if known["version"] != version:
            known = {**known, "epoch": epoch, "units": "", "counts": {}}
        counts: dict[str, int] = dict(known["counts"])
        if sum(counts.values()) >= UNITS:
            return Arms(counts, False)
        new = records(self._tables, f"{algorithm}/journal", known["offset"], ROWS, started)
        seen = set(np.frombuffer(b64decode(known["units"]), np.uint64).tolist())
        reasons = {"hashed"} if experiment.honours else EXPOSED
        for unit, arm in exposures(new.rows, experiment.experiment, reasons, known["epoch"]):
            code = xxh3_64_intdigest(unit.encode())
            if code not in seen:
                seen.add(code)
                counts[arm] = counts.get(arm, 0) + 1
        told: dict[str, Any] = {**known, "started": started, "version": version, "offset": new.upto, "counts": counts,
                                "units": b64encode(np.array(sorted(seen), np.uint64).tobytes()).decode()}  # fmt: skip
        if told != known:
            self._registry.put_fact(name, told)
        return Arms(counts, new.more)

    def forget(self, algorithm: str, state: AlgorithmState) -> None:
        """Let go of the units of experiments that run no more."""
        prefix = f"srm/{algorithm}/"
        running = {one.experiment for one in state.experiments}
        for name, known in self._registry.facts(prefix).items():
            if known and name.removeprefix(prefix) not in running:
                self._registry.put_fact(name, {})


def exposures(
    rows: pl.DataFrame, experiment: str, reasons: Collection[str] = EXPOSED, epoch: int = 0
) -> list[tuple[str, str]]:
    """Unit and arm of each exposure to an experiment under an epoch or a later one, in the order of the rows (offset,
    record)."""
    named = rows.filter(pl.col("record").str.contains(f'"{experiment}"', literal=True)) if _plain(experiment) else rows
    cell = pl.col("layers").list
    found = (
        _decoded(named)
        .filter(
            ~pl.col("shadow").fill_null(False)
            & ~pl.col("override").fill_null(False)
            & (pl.col("degraded").list.len().fill_null(0) == 0)
            & (pl.col("epoch").fill_null(0) >= epoch)
        )
        .explode("layers")
        .select(experiment=cell.get(1, null_on_oob=True), arm=cell.get(2, null_on_oob=True),
                reason=cell.get(4, null_on_oob=True), unit=cell.get(5, null_on_oob=True))
        .filter((pl.col("experiment") == experiment) & pl.col("reason").is_in(list(reasons)) & (pl.col("arm") != "")
                & (pl.col("unit").str.len_bytes() > 0))
    )  # fmt: skip
    return list(zip(found["unit"], found["arm"], strict=True))


def _plain(text: str) -> bool:
    return text.isascii() and '"' not in text and "\\" not in text


def _decoded(rows: pl.DataFrame) -> pl.DataFrame:
    """The records; one that is none is left out, which the whole slice is cut in halves for."""
    try:
        return rows.select(pl.col("record").str.json_decode(_RECORD).alias("r")).unnest("r")
    except pl.exceptions.PolarsError:
        if rows.height < 2:
            return pl.DataFrame(schema=dict(_RECORD.to_schema()))
        half = rows.height // 2
        return pl.concat([_decoded(rows[:half]), _decoded(rows[half:])])
