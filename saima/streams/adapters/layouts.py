"""The bytes of a record as the document that paths lead into: a JSON object, or the columns of delimited text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from saima.features.record import Delimited
from saima.streams.adapters.limits import MAX_RECORD
from saima.streams.adapters.refusals import Refusal, shown

_SURROGATE = (b"\\ud", b"\\uD")


def document(data: bytes, delimited: Delimited | None) -> dict[str, Any]:
    """The document of a record; without `delimited` it is JSON. Raises Refusal."""
    if len(data) > MAX_RECORD:
        raise Refusal("too_large", f"the record has {len(data)} bytes; at most {MAX_RECORD}")
    return _object(data) if delimited is None else _columns(data, delimited)


def encoded(record: Mapping[str, Any]) -> bytes:
    """The bytes of a record that came as an object."""
    return json.dumps(record, default=str).encode("utf-8", "surrogatepass")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("not_json", f"{type(error).__name__}: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise Refusal("not_an_object", f"the record is {type(found).__name__}, not an object")
    if any(mark in data for mark in _SURROGATE):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refusal("not_unicode", "the record holds half of a surrogate pair") from None
    return found


def _columns(data: bytes, delimited: Delimited) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refusal("not_text", f"the record is no UTF-8: {error}") from None
    values = text.split(delimited.separator)
    if len(values) != len(delimited.columns):
        wanted = f"{len(delimited.columns)} columns cut by {delimited.separator!r}"
        raise Refusal("wrong_columns", f"the record has {len(values)} of {wanted}: {shown(text)}")
    return {name: value or None for name, value in zip(delimited.columns, values, strict=True)}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
