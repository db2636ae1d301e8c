"""Predictions as Arrow IPC streams: the candidates are rows, everything else is JSON in the schema's metadata."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pydantic_core import from_json, to_json

from saima.errors import RequestError

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
REQUEST, ANSWER = b"saima.request", b"saima.answer"
"""Keys of the schema's metadata: the JSON of a request without `items`, of an answer without `items` and `scores`."""

MOST = 100_000
"""Rows of a stream, whatever is declared: a column of nulls takes no bytes."""

_DEPTH = 8


def read_request(data: bytes) -> dict[str, Any]:
    """The request body that a stream of record batches stands for, as JSON would have brought it.

    A stream without columns asks about no candidates. Raises RequestError: 400 for bytes that are no
    such stream, 422 naming the column that has another type than JSON could bring.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            body = _envelope(reader.schema.metadata)
            for column in reader.schema:
                _require_plain(column.type, f"/items/*/{column.name}")
            if len(set(reader.schema.names)) < len(reader.schema.names):
                raise RequestError("two columns have the same name", "/items")
            _refuse_packed(data)
            batches = []
            count = 0
            for batch in reader:
                count += batch.num_rows
                if count > MOST:
                    raise RequestError(f"holds more than {MOST} items", "/items")
                batch.validate(full=True)
                batches.append(batch)
            if reader.schema.names:
                body["items"] = _items(pa.Table.from_batches(batches, reader.schema))
            return body
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise RequestError(f"the body is no Arrow stream: {error}", status=400) from error


def write_answer(answer: Mapping[str, Any]) -> bytes:
    """An answer as a stream: columns `item_id` (string, where the answer has items) and `score` (float64)."""
    columns: dict[str, pa.Array] = {}
    rest = dict(answer)
    if "items" in rest:
        columns["item_id"] = pa.array(rest.pop("items"), pa.string())
    if "scores" in rest:
        columns["score"] = pa.array(rest.pop("scores"), pa.float64())
    schema = pa.schema([(name, column.type) for name, column in columns.items()], {ANSWER: to_json(rest)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        if columns:
            writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _envelope(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    text = (metadata or {}).get(REQUEST)
    if text is None:
        raise RequestError(f"the schema's metadata lacks '{REQUEST.decode()}', the JSON of the request", status=400)
    try:
        body = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"the metadata '{REQUEST.decode()}' is not JSON: {error}", status=400) from error
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object", "", 400)
    if "items" in body:
        raise RequestError("items are the rows of the stream, not of its metadata", "/items")
    return body


def _items(rows: pa.Table) -> list[dict[str, Any]]:
    names = rows.schema.names
    columns = [_values(name, column) for name, column in zip(names, rows.columns, strict=True)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    try:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", column.type.tz)).cast(pa.int64())
        found: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    except (pa.ArrowInvalid, KeyError) as error:
        raise RequestError(f"has values that JSON has no form for: {error}", f"/items/*/{name}") from error
    return found


def _require_plain(dtype: pa.DataType, field: str, depth: int = 0) -> None:
    """Refuse what JSON has no form for, and what few bytes could make large: dictionaries, views, runs."""
    kinds = pa.types
    if depth < _DEPTH and (kinds.is_list(dtype) or kinds.is_large_list(dtype) or kinds.is_fixed_size_list(dtype)):
        return _require_plain(dtype.value_type, field, depth + 1)
    if depth < _DEPTH and kinds.is_map(dtype) and kinds.is_string(dtype.key_type):
        return _require_plain(dtype.item_type, field, depth + 1)
    scalars = [kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_string, kinds.is_large_string,
               kinds.is_null, *([kinds.is_timestamp] if depth == 0 else [])]  # fmt: skip
    if not any(fits(dtype) for fits in scalars):
        raise RequestError(f"has type {dtype}; send numbers, booleans, strings, timestamps, lists or maps", field)
    return None


def _refuse_packed(data: bytes) -> None:
    """Refuse compressed bodies, whose size is known only once they are unpacked, and dictionaries."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(data))
    for message in iter(_next(reader), None):
        if message.type == "dictionary":
            raise RequestError("dictionaries are not read here; send plain columns")
        if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
            raise RequestError("compressed batches are not read here; write the stream without compression")


def _next(reader: Any) -> Any:
    def read() -> Any:
        try:
            return reader.read_next_message()
        except StopIteration:
            return None

    return read


def _is_compressed(message: bytes) -> bool:
    """Whether a record batch's header names a compression: field 3 of the header, which is field 2 of the message.

    The format is FlatBuffers (Arrow's format/Message.fbs); Arrow has verified the message before.
    """
    header = _field(message, struct.unpack_from("<I", message)[0], 2)
    if header is None:
        return False
    return _field(message, header + struct.unpack_from("<I", message, header)[0], 3) is not None


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a FlatBuffers table lies, or None where it is left out."""
    slots = table - struct.unpack_from("<i", message, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", message, slots)[0]:
        return None
    offset = struct.unpack_from("<H", message, slots + 4 + 2 * number)[0]
    return table + offset if offset else None
