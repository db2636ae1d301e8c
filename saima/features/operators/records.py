"""Values inside JSON text, maps or a URL's query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import NULL, STRING, Type, TypeTextError, declared, fits, parse_type, to_frame_value

if TYPE_CHECKING:
    from saima.features.nodes import Call


def _typed(call: Call) -> Type:
    path, dtype = call.constants["path"], call.constants["dtype"]
    record = call.arg("record").type
    if record not in (STRING, NULL) and (record.name != "map" or record.has_decimal):
        raise TypeFault(f"get takes JSON text, a URL or a map, not {record}", "record")
    if not isinstance(path, str) or not path or not all(path.split(".")):
        raise TypeFault(f"get(record, path, dtype): path is names and places by dots, not {path!r}")
    try:
        return parse_type(dtype) if isinstance(dtype, str) else _no_type(dtype)
    except TypeTextError as error:
        raise TypeFault(str(error)) from None


def _no_type(dtype: Any) -> Type:
    raise TypeFault(f"dtype is the text of a type, such as 'int64', not {dtype!r}")


@operator(record="any", path="constant", dtype="constant", returns=_typed, lower=by_rows, finite=False)
def get(record: str | dict[str, Any], path: str, dtype: str) -> Any:
    """A value inside JSON text (`user.tags.0`), a map or a URL's query (`query.page`); null where it is absent.

    >>> get('{"a": {"b": [5]}}', "a.b.0", "int64"), get("https://x.org/?page=2", "query.page", "int64")
    (5, 2)
    """
    wanted = parse_type(dtype)
    parts = path.split(".")
    value: Any = record
    if isinstance(record, str):
        text = record.strip()
        if parts[0] == "query" and text[:1] not in ("{", "["):
            values = parse_qs(urlsplit(text).query, keep_blank_values=True).get(".".join(parts[1:]))
            return _from_text(values[0], wanted) if values else None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    value = declared(value, wanted)
    return to_frame_value_or_map(value, wanted) if value is not None and fits(value, wanted) else None


def to_frame_value_or_map(value: Any, wanted: Type) -> Any:
    """The value in its type; floats widened, maps kept."""
    return value if wanted.name == "map" else to_frame_value(value, wanted)


def _from_text(text: str, wanted: Type) -> Any:
    from saima.features.operators.conversion import cast_value

    return cast_value(text, wanted) if wanted.name in ("string", "int64", "float32", "float64", "bool") else None
