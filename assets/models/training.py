"""One training: the samples as of one table version, the rows held out, the champion, and the folder of its results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.champions import Champion
from saima.errors import SaimaError
from saima.learning.increments import DataState, hold_out
from saima.stores.interfaces import Tables

IDENTITY = (
    *("trace", "item", "time", "label", "label_time", "label_offset", "label_appended"),
    *("role", "weight", "offset"),
)
"""Columns that a training reads beside the features."""

_SNAPSHOT = "snapshot.json"


@dataclass(frozen=True)
class Training:
    """A training's folder. Every model of one run learns from the same snapshot.

    table, version: the samples as of one commit; champions: publication and data state by lineage; rows: how many of
    the newest are held out; started: wall clock, ms; run_id: the Dagster run.
    """

    folder: Path
    table: str
    version: int
    rows: int
    started: int
    run_id: str
    champions: dict[str, tuple[int, DataState]]

    @classmethod
    def prepare(
        cls, folder: Path, tables: Tables, table: str, rows: int, started: int, champions: Sequence[Champion]
    ) -> Training:
        """Fix the snapshot in a new folder, or open the one that an earlier step of the run has fixed."""
        if not (folder / _SNAPSHOT).exists():
            folder.mkdir(parents=True, exist_ok=True)
            document = {
                "table": table,
                "version": tables.version(table),
                "rows": rows,
                "started": started,
                "champions": {each.lineage: [each.publication, each.state.to_json()] for each in champions},
            }
            (folder / _SNAPSHOT).write_text(json.dumps(document))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Training:
        """Open a prepared folder. Raises SaimaError naming it and the way out."""
        path = folder / _SNAPSHOT
        if not path.exists():
            raise SaimaError(f"{path} is missing: materialize the lineage's models first")
        document = json.loads(path.read_text())
        champions = {
            name: (int(publication), DataState.from_json(state))
            for name, (publication, state) in document.pop("champions").items()
        }
        return cls(folder, run_id=folder.name, champions=champions, **document)

    def read(self, tables: Tables, features: Sequence[str]) -> pl.DataFrame:
        """The snapshot's samples: identity and features."""
        return tables.scan(self.table, self.version).select(*IDENTITY, *features).collect()

    def split(self, samples: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(learn, held): the newest rows that no champion has learned are predicted before they are learned."""
        states = [state for _, state in self.champions.values()]
        newest = max(states, key=lambda state: state.label_epoch, default=None)
        if newest is None:
            return hold_out(samples, self.rows)
        new = samples.filter(pl.col("label_time") > newest.label_epoch).height
        return hold_out(samples, min(self.rows, new // 3), newest)

    def model(self, name: str) -> Path:
        """Folder of a trained model."""
        return self.folder / "models" / name

    def trained(self, name: str) -> bool:
        """Whether this training has made the model."""
        return (self.folder / f"{name}.json").exists()

    def document(self, name: str) -> dict[str, Any]:
        """A kept document: a model's facts (kind, mode, state), an evaluation, what was learned."""
        document: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return document

    def record(
        self, name: str, held: pl.DataFrame, said: Mapping[str, NDArray[np.float64]], facts: dict[str, Any]
    ) -> None:
        """Keep a model's facts and what it said of the held-out rows, by the names of its outputs."""
        outputs = {f"out.{output}": values for output, values in said.items()}
        frame = pl.DataFrame({"trace": held["trace"], "item": held["item"], **outputs})
        frame.write_parquet(self.folder / f"{name}.parquet")
        (self.folder / f"{name}.json").write_text(json.dumps(facts))

    def predictions(self, name: str) -> dict[str, NDArray[np.float64]]:
        """What a model said of the held-out rows, in their order, by the names of its outputs."""
        frame = pl.read_parquet(self.folder / f"{name}.parquet").select(pl.col("^out\\..*$"))
        return {column.removeprefix("out."): frame[column].to_numpy() for column in frame.columns}

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Keep a document, such as a lineage's evaluation."""
        (self.folder / f"{name}.json").write_text(json.dumps(document))
