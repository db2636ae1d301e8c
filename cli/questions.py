"""What the replayer sends for a recorded request: its fields, its user, its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from saima.errors import SaimaError
from saima.features.declaration import Request
from saima.features.encodings import encoded
from saima.features.types import Type, parse_type


class Questions:
    """Turns rows of the request's topic into the arguments of `predict`.

    candidates: fields of an item, and fields of the request that choose a request's own; None: it ranks nothing.
    """

    def __init__(self, declared: Request, candidates: pl.DataFrame | None = None) -> None:
        self._fields = types_of(declared.fields)
        self._user = types_of(declared.user)
        self._items: dict[tuple[Any, ...], list[dict[str, Any]]] | None = None
        self._chosen_by: list[str] = []
        if declared.items is None:
            return
        if candidates is None:
            raise SaimaError("requests rank items, and the recording names no candidates")
        fields = {"item_id": parse_type("string"), **types_of(declared.items.fields)}
        self._chosen_by = [name for name in candidates.columns if name not in fields]
        self._items = {}
        for row in candidates.iter_rows(named=True):
            chosen = tuple(row[name] for name in self._chosen_by)
            self._items.setdefault(chosen, []).append(sent(row, fields))

    def candidates(self, rows: pl.DataFrame) -> pl.DataFrame | None:
        """Candidates of each row: trace, its key, and item; None where the algorithm ranks nothing."""
        if self._items is None:
            return None
        schema = {name: rows.schema[name] for name in self._chosen_by}
        chosen = pl.DataFrame(
            [(*chosen, item["item_id"]) for chosen, items in self._items.items() for item in items],
            schema={**schema, "item": pl.String},
            orient="row",
        )
        asked = rows.select(*self._chosen_by, trace="key")
        if not self._chosen_by:
            return asked.join(chosen, how="cross")
        return asked.join(chosen, on=self._chosen_by).select("trace", "item")

    def ask(self, row: dict[str, Any]) -> dict[str, Any]:
        """`request`, and `user` and `items` where the algorithm has them."""
        asked: dict[str, Any] = {"request": sent(row, self._fields)}
        if self._user:
            asked["user"] = sent(row, self._user)
        if self._items is not None:
            asked["items"] = self._items.get(tuple(row[name] for name in self._chosen_by), [])
        return asked


def types_of(fields: Mapping[str, str]) -> dict[str, Type]:
    """Types of declared fields."""
    return {name: parse_type(dtype) for name, dtype in fields.items()}


def sent(row: Mapping[str, Any], fields: Mapping[str, Type]) -> dict[str, Any]:
    """The fields of a row as JSON brings them; delimited text is sent as it is."""
    return {
        name: row[name] if isinstance(row[name], str | float) else encoded(row[name], dtype)
        for name, dtype in fields.items()
    }
