"""Cases as they are served: events through the stream's engines into a store, requests through the extractor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from saima.features import Algorithm, load
from saima.features.declaration import Declaration
from saima.features.extractor import Extraction, Extractor
from saima.features.lookups import row_sources
from saima.features.plan import Plan
from saima.features.windows import groups
from saima.features.windows.where import predicates
from saima.settings import Settings
from saima.stores import open_online
from saima.streams.tiles import RowEngine, TileEngine


@dataclass(frozen=True)
class Compiled:
    """A declaration and its plan: a loaded algorithm as far as reading its features goes."""

    declaration: Declaration
    plan: Plan


def load_case(declaration: Mapping[str, Any], folder: Path) -> Algorithm:
    """A declaration as data, written as `<folder>/<algorithm>/algorithm.yaml` and loaded as users' are."""
    place = folder / declaration["algorithm"]
    place.mkdir(exist_ok=True)
    (place / "algorithm.yaml").write_text(json.dumps(declaration), "utf-8")
    return load(place)


def ask_online(
    algorithm: Algorithm,
    folder: Path,
    batches: Sequence[pl.DataFrame],
    requests: Sequence[tuple[Mapping[str, Any], int]],
) -> list[Extraction]:
    """Extractions of (request, q) after batches of the topic `source`; the first batch is built as history."""
    online = open_online(0, Settings(home=folder, fsync=False), writer=True)
    try:

        def read(table: str, keys: Any) -> list[bytes | None]:
            with online.read() as transaction:
                return transaction.get_many(table, keys)

        for number, batch in enumerate(batches):
            tiles = TileEngine(groups(algorithm.declaration), read, predicates(algorithm.declaration))
            rows = RowEngine(row_sources(algorithm.declaration), read)
            if number == 0:
                changes = [*tiles.build_from_history({"source": batch}), *rows.build_from_history({"source": batch})]
            else:
                tiles.process_batch(batch, "source")
                rows.process_batch(batch, "source")
                changes = [*tiles.changes(), *rows.changes()]
            with online.write() as transaction:
                for table in {*(g.table for g in tiles.groups.values()), *(table for table, _, _ in changes)}:
                    transaction.put_many(table, [(key, data) for name, key, data in changes if name == table])
                transaction.set_position({0: number})
        extractor = Extractor(algorithm, online)
        found = [extractor.extract(fields, None, None, time) for fields, time in requests]
        again = [extractor.extract(fields, None, None, time) for fields, time in requests]
        for first, second in zip(found, again, strict=True):
            assert first.features.equals(second.features)
            assert (first.rows, first.degraded) == (second.rows, second.degraded)
        return found
    finally:
        online.close()
