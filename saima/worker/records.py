"""Journal records as the worker takes them in: whole and well-typed, or refused before anything depends on them."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any

from saima.features.declaration import Declaration
from saima.features.types import fits, parse_type
from saima.streams.samples import Prediction

_SCALARS: dict[str, frozenset[type]] = {
    "int64": frozenset([int, NoneType]),
    "timestamp": frozenset([int, NoneType]),
    "float32": frozenset([float, int, NoneType]),
    "float64": frozenset([float, int, NoneType]),
    "bool": frozenset([bool, NoneType]),
    "string": frozenset([str, NoneType]),
}


class RecordReader:
    """Reads one algorithm's records. Features that the declaration has and a record lacks (an older bundle made it)
    are missing values later; a feature of the wrong type or number of values refuses the record."""

    def __init__(self, declaration: Declaration) -> None:
        label = declaration.label
        self._by_item = label is not None and "item" in label.join
        types = {name: parse_type(feature.dtype) for name, feature in declaration.features.items()}
        self._scalars = {name: _SCALARS[str(dtype)] for name, dtype in types.items() if str(dtype) in _SCALARS}
        self._others = {name: dtype for name, dtype in types.items() if name not in self._scalars}

    def read(self, text: str, offset: int, appended: int) -> tuple[Prediction, dict[str, Any]]:
        """The record as the join sees it, and its document.

        Raises ValueError, KeyError, TypeError or IndexError naming what is wrong.
        """
        document: dict[str, Any] = json.loads(text)
        kept = document["kept"]
        count = len(document["scores"])
        if any(not isinstance(index, int) or not 0 <= index < count for index in kept):
            raise ValueError(f"kept names candidates that the {count} scores do not have: {kept}")
        self._check(document["features"], len(kept))
        numbers = {
            "scores": document["scores"],
            "weights": document.get("weights") or [],
            **(document.get("outputs") or {}),
        }
        for name, values in numbers.items():
            if any(value is not None and type(value) not in (float, int) for value in values):
                raise ValueError(f"{name} holds something that is no number")
        items: tuple[str, ...] = ("",)
        part, parts = _part(document)
        if self._by_item:
            items = tuple(str(document["items"][index]["item_id"]) for index in kept)
        else:
            # An outcome of the trace as a whole belongs to one prediction, whatever part that is of.
            part, parts = 0, 1
        seen = Prediction(
            offset,
            appended,
            str(document["trace"]),
            int(document["time"]),
            int(document.get("attempt") or 1),
            bool(document.get("degraded") or document.get("shadow") or document.get("override")),
            items,
            text.encode(),
            part,
            parts,
        )
        return seen, document

    def _check(self, features: dict[str, list[Any]], rows: int) -> None:
        for name, allowed in self._scalars.items():
            values = features.get(name)
            if values is not None and not (len(values) == rows and allowed.issuperset(map(type, values))):
                raise ValueError(f"feature '{name}' is {values}, for {rows} kept candidates")
        for name, dtype in self._others.items():
            values = features.get(name)
            if values is None:
                continue
            if len(values) != rows:
                raise ValueError(f"feature '{name}' has {len(values)} values for {rows} kept candidates")
            for value in values:
                if value is not None and dtype.name != "map" and not fits(value, dtype):
                    raise ValueError(f"feature '{name}' has the value {value!r}, which is no {dtype}")


def _part(document: dict[str, Any]) -> tuple[int, int]:
    """Which of how many requests for the candidates of one trace a record is of; 0 of 1 where it does not say."""
    part, parts = document.get("part", 0), document.get("parts", 1)
    if type(part) is not int or type(parts) is not int or not 0 <= part < parts:
        raise ValueError(f"part {part!r} of {parts!r} is no part: a number from 0, below the number of parts")
    return part, parts
