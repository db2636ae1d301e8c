"""A request's fields, as JSON brings them, as the values of input columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.features.declaration import Request
from saima.features.encodings import Decoder
from saima.features.types import Type, parse_type, to_frame_value


class Fields:
    """Names and converts fields: `carrier` of the request is `request.carrier`."""

    def __init__(self, request: Request) -> None:
        items = request.items.fields if request.items else {}
        sides = {"request": request.fields, "user": request.user, "item": items}
        self.types: dict[str, Type] = {
            f"{side}.{name}": parse_type(dtype) for side, fields in sides.items() for name, dtype in fields.items()
        }
        decoders = {
            f"{side}.{name}": Decoder(dtype) for side, fields in sides.items() for name, dtype in fields.items()
        }
        self._decoders = {column: decoder for column, decoder in decoders.items() if decoder.needed}

    @property
    def failed(self) -> dict[str, int]:
        """Casts that failed since the start, by input column; delimited text is cast when it arrives."""
        return {column: decoder.failed for column, decoder in self._decoders.items() if decoder.failed}

    def row(self, side: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        """Values by input column; `side` is request, user or item."""
        named = {f"{side}.{name}": value for name, value in (fields or {}).items()}
        for column, decoder in self._decoders.items():
            if named.get(column) is not None:
                named[column] = to_frame_value(decoder.decode(named[column]), decoder.type)
        return named

    def value(self, column: str, given: Any) -> Any:
        """Value of one input column as a frame holds it."""
        decoder = self._decoders.get(column)
        return given if decoder is None or given is None else to_frame_value(decoder.decode(given), decoder.type)
