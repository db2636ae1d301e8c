"""One source's records as its events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from xxhash import xxh3_128_hexdigest

from saima.events import Event
from saima.features.declaration import Source
from saima.features.durations import milliseconds
from saima.features.encodings import Decoder
from saima.features.keys import key_text
from saima.features.operators.conversion import cast_value
from saima.features.record import Record, Steps, Taken, follow, steps
from saima.features.types import INT64, STRING, fits, parse_type
from saima.streams.adapters.limits import MAX_KEY
from saima.streams.adapters.refusals import Refusal, shown
from saima.streams.adapters.times import time_reader

_INT64 = 2**63
Read = Callable[[Any], Any]


class Reader:
    """Reads the records of one topic as its source declares them."""

    def __init__(self, topic: str, source: Source) -> None:
        record = source.record or Record.model_validate({"time": "time", "id": "id"})
        self.topic = topic
        self.delimited = record.delimited
        text = record.delimited is not None
        self.ahead = milliseconds(record.ahead)
        self._when = [(steps(path), key_text([value])) for path, value in record.when.items()]
        self._moment = (steps(record.time.path), time_reader(record.time, text=text), record.time.path)
        ids = [record.id] if isinstance(record.id, str) else record.id or []
        self._ids = [steps(path) for path in ids]
        self._id_paths = ", ".join(ids)
        self._seq: Steps | None = None if record.seq is None else steps(record.seq)
        self._key = source.key
        self._fields = {
            name: _field(name, dtype, record.fields.get(name) or Taken(path=name), text=text)
            for name, dtype in source.fields.items()
        }

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this source."""
        return all(_text(follow(record, path)) == value for path, value in self._when)

    def read(self, record: Mapping[str, Any], data: bytes, now: int) -> Event:
        """The event of a record that came at `now` (ms UTC) as `data`. Raises Refusal."""
        time = self._time(record, now)
        seq = 0 if self._seq is None else follow(record, self._seq) or 0
        if self.delimited is not None and isinstance(seq, str):
            whole = cast_value(seq, INT64)
            seq = seq if whole is None else whole
        if not isinstance(seq, int) or isinstance(seq, bool) or not -_INT64 <= seq < _INT64:
            raise Refusal("wrong_seq", f"seq is {shown(seq)}, not a whole number of 64 bits")
        payload = {name: read(record) for name, read in self._fields.items()}
        key = _text(payload[self._key])
        if not key:
            raise Refusal("no_key", f"'{self._key}', the key, is missing or empty")
        if len(key.encode()) > MAX_KEY:
            raise Refusal("long_key", f"'{self._key}', the key, has {len(key.encode())} bytes; at most {MAX_KEY}")
        return Event(key, self.topic, time, seq, self._identity(record, data), payload)

    def _time(self, record: Mapping[str, Any], now: int) -> int:
        path, read, named = self._moment
        value = follow(record, path)
        if value is None:
            raise Refusal("no_time", f"'{named}' is missing")
        time = read(value)
        if time < 0:
            raise Refusal("past", f"'{named}' is {shown(value)}, before 1970")
        if time > now + self.ahead:
            raise Refusal("future", f"'{named}' is {shown(value)}, {time - now} ms ahead of the wall clock")
        return time

    def _identity(self, record: Mapping[str, Any], data: bytes) -> str:
        if not self._ids:
            return xxh3_128_hexdigest(data)
        parts = [_text(follow(record, path)) for path in self._ids]
        if None in parts or parts == [""]:
            raise Refusal("no_id", f"the identity {self._id_paths} is missing or no text")
        identity = key_text(parts) or ""
        if len(identity.encode()) > MAX_KEY:
            raise Refusal("long_id", f"the identity {self._id_paths} has more than {MAX_KEY} bytes")
        return identity


def _field(name: str, dtype: str, taken: Taken, *, text: bool) -> Read:
    """Reads and checks one field's value, `text`: of a record whose values are all texts."""
    wanted, decoder = parse_type(dtype), Decoder(dtype)
    path = () if taken.path is None else steps(taken.path)
    enumeration, default, constant = taken.values, taken.default, taken.constant
    is_float = wanted.name in ("float32", "float64")

    def check(value: Any) -> Any:
        native = decoder.decode(value) if decoder.needed else value
        if native is None or not fits(native, wanted) or not _finite(native):
            raise Refusal("wrong_type", f"'{name}' is {shown(value)}, not {wanted}")
        return float(native) if is_float else native

    if constant is not None:
        fixed = check(constant)
        return lambda _: fixed

    def read(record: Any) -> Any:
        value = follow(record, path)
        if value is None:
            return None
        if enumeration is not None:
            found = enumeration.get(_text(value) or "", default)
            if found is None:
                raise Refusal("not_enumerated", f"'{name}' is {shown(value)}, which its values do not name")
            return check(found)
        if text and not decoder.needed:
            typed = cast_value(value, wanted) if wanted != STRING else value
            return check(value if typed is None else typed)
        return check(value)

    return read


def _text(value: Any) -> str | None:
    """Text of a scalar that has one text; None for others."""
    return key_text([value]) if isinstance(value, str | int | bool) else None


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_finite, value))
    return all(map(_finite, value.values())) if isinstance(value, dict) else True
