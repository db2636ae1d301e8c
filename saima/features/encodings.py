"""Values as they arrive: lists and maps natively or as delimited text, decimals as numbers. One answer for all.

Text is cut at the field's separators, a map of a list's field is its keys, the empty text is the empty list or map.
Elements of text are cast as `cast` does; one that fails is missing and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import polars as pl

from saima.features.field_type import Separators, separators_of
from saima.features.operators.conversion import cast_value
from saima.features.types import STRING, Type, digits_of, parse_type, series


class Decoder:
    """Decodes the values of one field; safe to use from several threads. `failed` counts the casts that failed."""

    def __init__(self, dtype: str) -> None:
        self.type = parse_type(dtype)
        self.failed = 0
        self._separators: Separators = separators_of(dtype)
        self._lock = threading.Lock()

    @property
    def needed(self) -> bool:
        """Whether values of this type arrive in more than one form."""
        return self.type.element is not None or self.type.is_decimal

    def decode(self, value: Any) -> Any:
        """The native value: a list, a dict, a decimal's digits; scalars as they are.

        >>> Decoder("list<int64>").decode("5\\x1d7"), Decoder("map<string,float64>").decode("a:1.5\\x1db")
        ([5, 7], {'a': 1.5, 'b': None})
        >>> Decoder("list<string>").decode({"a": 1}), Decoder("decimal(2)").decode(1.25)
        (['a'], 125)
        """
        dtype = self.type
        if isinstance(value, str) and dtype.element is not None:
            value = self._pairs(value) if dtype.name == "map" else self._items(value)
            return self._inside(value, dtype, text=True)
        if isinstance(value, Mapping) and dtype.is_list:
            return self._inside(list(value), dtype, text=True)
        return self._inside(value, dtype, text=False)

    def _items(self, text: str) -> list[str]:
        items = text.split(self._separators.items) if text else []
        pair = self._separators.pair
        return items if pair is None else [item.partition(pair)[0] for item in items]

    def _pairs(self, text: str) -> dict[str, str | None]:
        pair = self._separators.pair or Separators.PAIR
        cut = [item.partition(pair) for item in text.split(self._separators.items)] if text else []
        return {key: weight if found else None for key, found, weight in cut}

    def _inside(self, value: Any, dtype: Type, *, text: bool) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return {key: self._inside(item, dtype.of, text=text) for key, item in value.items()}
        if isinstance(value, list):
            made = [self._inside(item, dtype.of, text=text) for item in value]
            return self._fail() if dtype.name == "vector" and len(made) != dtype.size else made
        if dtype.is_decimal:
            digits = digits_of(value, dtype.size)
            return self._fail() if digits is None else digits
        if not text or dtype == STRING:
            return value
        cast = cast_value(value, dtype)
        return self._fail() if cast is None else cast

    def _fail(self) -> None:
        with self._lock:
            self.failed += 1


def decoded(column: pl.Series, dtype: str) -> pl.Series:
    """A column of a field as a frame holds it: text cut, maps of a list's field their keys, numbers as digits.

    What is in that form already stays; whole numbers are a decimal's digits.
    """
    decoder = Decoder(dtype)
    wanted = decoder.type
    if not decoder.needed or column.dtype == pl.Null:
        return column
    if wanted.is_decimal:
        foreign = column.dtype == pl.String or column.dtype.is_float()
    else:
        struct = isinstance(column.dtype, pl.List) and isinstance(column.dtype.inner, pl.Struct)
        foreign = column.dtype == pl.String or (wanted.is_list and struct and not _holds_structs(wanted))
    if not foreign:
        return column
    if column.dtype.is_nested():
        values = [value and {pair["key"]: pair["value"] for pair in value} for value in column.to_list()]
        return series(column.name, [decoder.decode(value) for value in values], wanted)
    distinct = column.unique()  # what repeats, as text of a few tags does, is decoded once
    values = [None if value != value else decoder.decode(value) for value in distinct.to_list()]
    places = distinct.to_frame("value").with_row_index("place")
    found = column.to_frame("value").join(places, on="value", how="left", nulls_equal=True, maintain_order="left")
    return series(column.name, values, wanted).gather(found.get_column("place"))


def _holds_structs(dtype: Type) -> bool:
    return dtype.element is not None and dtype.of.name == "map"
