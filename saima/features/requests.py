"""A request's fields, as JSON brings them, as the values of input columns."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from saima.features.declaration import Request
from saima.features.types import Type, parse_type, to_frame_value


class Fields:
    """Names and converts fields: `carrier` of the request is `request.carrier`."""

    def __init__(self, request: Request) -> None:
        items = request.items.fields if request.items else {}
        sides = {"request": request.fields, "user": request.user, "item": items}
        self.types: dict[str, Type] = {
            f"{side}.{name}": parse_type(dtype) for side, fields in sides.items() for name, dtype in fields.items()
        }
        self._changed = {
            column: dtype
            for column, dtype in self.types.items()
            if dtype.element is not None or dtype.name == "decimal"
        }

    def row(self, side: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        """Values by input column; `side` is request, user or item."""
        named = {f"{side}.{name}": value for name, value in (fields or {}).items()}
        for column, dtype in self._changed.items():
            if named.get(column) is not None:
                named[column] = convert(named[column], dtype)
        return named


def convert(value: Any, dtype: Type) -> Any:
    """A value as a frame holds it: a decimal as its digits, a map as pairs.

    >>> convert(1.25, parse_type("decimal(2)")), convert({"a": 1}, parse_type("map<string,int64>"))
    (125, [{'key': 'a', 'value': 1}])
    """
    if dtype.name == "decimal":
        return int(Decimal(str(value)).scaleb(dtype.size).to_integral_value())
    return to_frame_value(value, dtype) if isinstance(value, dict | list) else value
