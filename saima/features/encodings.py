"""Values as they arrive: lists and maps natively or as delimited text, decimals as numbers. One answer for all.

Text is cut at the field's separators, a map of a list's field is its keys, the empty text is the empty list or map.
Elements of text are cast as `cast` does; one that fails is missing and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
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
    if not is_foreign(column.dtype, dtype):
        return column
    decoder = Decoder(dtype)
    wanted = decoder.type
    if column.dtype.is_nested():
        values = [value and {pair["key"]: pair["value"] for pair in value} for value in column.to_list()]
        return series(column.name, [decoder.decode(value) for value in values], wanted)
    distinct = column.unique()  # what repeats, as text of a few tags does, is decoded once
    values = [None if value != value else decoder.decode(value) for value in distinct.to_list()]
    places = distinct.to_frame("value").with_row_index("place")
    found = column.to_frame("value").join(places, on="value", how="left", nulls_equal=True, maintain_order="left")
    return series(column.name, values, wanted).gather(found.get_column("place"))


def decoded_rows(rows: pl.LazyFrame, fields: Mapping[str, str]) -> pl.LazyFrame:
    """Rows of a source, whose fields have these types, with every column as `decoded` gives it."""
    known = rows.collect_schema()
    foreign = {name: dtype for name, dtype in fields.items() if name in known and is_foreign(known[name], dtype)}
    return rows.with_columns(
        pl.col(name).map_batches(
            partial(decoded, dtype=dtype), return_dtype=parse_type(dtype).polars, is_elementwise=True
        )
        for name, dtype in foreign.items()
    )


def encoded(value: Any, dtype: Type) -> Any:
    """A value of a frame as JSON brings it: the inverse of decoding, for decimals of at most 53 bits.

    >>> encoded([{"key": "a", "value": 125}], parse_type("map<string,decimal(2)>"))
    {'a': 1.25}
    """
    if value is None:
        return None
    if dtype.name == "map":
        return {pair["key"]: encoded(pair["value"], dtype.of) for pair in value}
    if dtype.is_list:
        return [encoded(item, dtype.of) for item in value]
    return value / 10**dtype.size if dtype.is_decimal and dtype.size else value


def is_foreign(held: pl.DataType, dtype: str) -> bool:
    """Whether a column of a frame is in another form than the one that frames hold a field of this type in."""
    wanted = parse_type(dtype)
    if held == pl.Null or not (wanted.element is not None or wanted.is_decimal):
        return False
    if held == pl.String or wanted.is_decimal:
        return held == pl.String or held.is_float()
    pairs = isinstance(held, pl.List) and isinstance(held.inner, pl.Struct)
    return wanted.is_list and pairs and not _holds_structs(wanted)


def _holds_structs(dtype: Type) -> bool:
    return dtype.element is not None and dtype.of.name == "map"
