"""Checks what a caller sends against the declaration, and names the field that is wrong as a JSON pointer."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import NoneType
from typing import Any, ClassVar

from saima.errors import RequestError, suggest
from saima.features.declaration import Request
from saima.routing.experiments import Token

ENVELOPE = ("algorithm", "trace", "attempt", "part", "parts", "unit", "request", "user", "items", "time", "tokens")
MOST_PARTS = 10_000
"""Most requests among which the candidates of one trace are divided."""
_TEXT = 256
_TOKENS = 256
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked envelope of a prediction request; `time` is None where the host's clock decides.

    raw: the JSON that it came as, if it did. tokens: arms that the caller, or a device, has been given before. part:
    which of the `parts` requests it is that the candidates of its trace are divided among, from 0.
    """

    algorithm: str
    trace: str
    attempt: int
    unit: str | None
    request: dict[str, Any]
    user: dict[str, Any] | None
    items: list[dict[str, Any]] | None
    time: int | None
    raw: bytes = b""
    tokens: Sequence[Token] = ()
    part: int = 0
    parts: int = 1

    def unit_of(self, name: str) -> str | None:
        """Value of an experiment's unit field: the caller's own `unit`, the trace, or a field of request or user."""
        if self.unit is not None:
            return self.unit
        if name == "trace":
            return self.trace
        value = self.request.get(name)
        if value is None and self.user:
            value = self.user.get(name)
        return None if value is None else str(value)


def envelope(body: Any, trace: str | None = None, raw: bytes = b"") -> Ask:
    """The envelope of a request body; `trace` is the one of the `traceparent` header, used where the body has none.

    Raises RequestError naming the field.
    """
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object", "", 400)
    for name in body:
        if name not in ENVELOPE:
            raise RequestError(f"unknown field{suggest(name, ENVELOPE)}", f"/{name}")
    algorithm = _text(body, "algorithm")
    if algorithm is None:
        raise RequestError("is missing: name the algorithm to ask", "/algorithm")
    attempt = body.get("attempt", 1)
    if not _is_int(attempt) or attempt < 1:
        raise RequestError(f"must be a whole number from 1, not {attempt!r}", "/attempt")
    parts = body.get("parts", 1)
    if not _is_int(parts) or not 1 <= parts <= MOST_PARTS:
        raise RequestError(f"must be a whole number from 1 to {MOST_PARTS}, not {_show(parts)}", "/parts")
    part = body.get("part", 0)
    if not _is_int(part) or not 0 <= part < parts:
        raise RequestError(f"must be a whole number from 0, below `parts` ({parts}), not {_show(part)}", "/part")
    time = body.get("time")
    if time is not None and (not _is_int(time) or time < 0):
        raise RequestError(f"must be milliseconds UTC, not {time!r}", "/time")
    request, user, items = body.get("request", {}), body.get("user"), body.get("items")
    if not isinstance(request, dict):
        raise RequestError("must be an object", "/request")
    if user is not None and not isinstance(user, dict):
        raise RequestError("must be an object", "/user")
    if items is not None and not isinstance(items, list):
        raise RequestError("must be a list of objects", "/items")
    given = _text(body, "trace") or trace or uuid.uuid4().hex
    tokens = _tokens(body["tokens"]) if "tokens" in body else ()
    return Ask(algorithm, given, attempt, _text(body, "unit"), request, user, items, time, raw, tokens, part, parts)


class Checker:
    """Checks request, user and items of one declaration. Every declared field must be there; null says unknown."""

    def __init__(self, declared: Request) -> None:
        self._request = {name: checker(dtype) for name, dtype in declared.fields.items()}
        self._user = {name: checker(dtype) for name, dtype in declared.user.items()}
        self._items = declared.items
        fields = declared.items.fields if declared.items else {}
        self._item = {"item_id": checker("string"), **{name: checker(dtype) for name, dtype in fields.items()}}
        self._quick = QuickItems({"item_id": "string", **fields})

    def check(self, ask: Ask) -> None:
        """Raise RequestError naming the first wrong field."""
        check_fields(ask.request, self._request, "/request")
        if self._user or ask.user:
            if ask.user is None:
                raise RequestError("is missing", "/user")
            check_fields(ask.user, self._user, "/user")
        if self._items is None:
            if ask.items is not None:
                raise RequestError(f"'{ask.algorithm}' takes no items", "/items")
            return
        if not ask.items:
            raise RequestError("must hold at least one item", "/items")
        if len(ask.items) > self._items.max:
            raise RequestError(f"holds {len(ask.items)} items; at most {self._items.max}", "/items")
        if self._quick.fits(ask.items):
            return
        for index, item in enumerate(ask.items):
            if not isinstance(item, dict):
                raise RequestError("must be an object", f"/items/{index}")
            check_fields(item, self._item, f"/items/{index}")
            if item["item_id"] is None:
                raise RequestError("must not be null", f"/items/{index}/item_id")


class QuickItems:
    """Says of a whole list of items that all of them are right, column by column; what it cannot say is looked at."""

    _TYPES: ClassVar[dict[str, frozenset[type]]] = {
        "string": frozenset([str, NoneType]),
        "bool": frozenset([bool, NoneType]),
        "float32": frozenset([float, NoneType]),
        "float64": frozenset([float, NoneType]),
        "int64": frozenset([int, NoneType]),
        "timestamp": frozenset([int, NoneType]),
    }

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._columns = [(itemgetter(name), dtype) for name, dtype in fields.items()]
        self._width = {len(fields)}
        self._able = all(dtype in self._TYPES for dtype in fields.values())

    def fits(self, items: list[Any]) -> bool:
        """Whether every item is a dict of the fields, each of its type, every `item_id` there; False: perhaps not."""
        if not self._able or set(map(type, items)) != {dict} or set(map(len, items)) != self._width:
            return False
        try:
            return all(
                self._holds(list(map(get, items)), dtype, place) for place, (get, dtype) in enumerate(self._columns)
            )
        except KeyError:
            return False

    def _holds(self, values: list[Any], dtype: str, place: int) -> bool:
        found = set(map(type, values))
        if not found <= self._TYPES[dtype] or (place == 0 and NoneType in found):
            return False
        if NoneType in found and dtype not in ("string", "bool"):
            values = [value for value in values if value is not None]
        if dtype in ("float32", "float64"):
            return all(map(math.isfinite, values))
        if dtype in ("int64", "timestamp"):
            return not values or (min(values) >= -_INT64 and max(values) < _INT64)
        return True


Check = Callable[[Any], str | None]
"""What is wrong with a value, or None."""


def check_fields(given: Mapping[str, Any], checks: Mapping[str, Check], place: str) -> None:
    """Raise RequestError for an unknown, a missing or a wrong field of an object; null is allowed."""
    for name, value in given.items():
        check = checks.get(name)
        if check is None:
            raise RequestError(f"unknown field{suggest(name, checks)}", f"{place}/{name}")
        if value is not None and (wrong := check(value)):
            raise RequestError(wrong, f"{place}/{name}")
    if len(given) < len(checks):
        missing = next(name for name in checks if name not in given)
        raise RequestError("is missing; send null where it is unknown", f"{place}/{missing}")


_LIST = re.compile(r"(?:list<(?P<item>.+)>|vector<(?P<element>[^,]+),\s*(?P<size>\d+)>|map<string,\s*(?P<value>.+)>)")


def checker(dtype: str) -> Check:
    """The check of a declared type: int64, timestamp, float32, float64, bool, string, list, vector, map, decimal.

    Lists and maps of scalars may come as delimited text, lists also as an object, whose keys they are.
    """
    if dtype in ("int64", "timestamp"):
        return lambda v: None if _is_int(v) and -_INT64 <= v < _INT64 else f"must be {_said(dtype)}, not {_show(v)}"
    if dtype in ("float32", "float64") or dtype.startswith("decimal"):
        return lambda v: None if _is_number(v) else f"must be a finite number, not {_show(v)}"
    if dtype == "bool":
        return lambda v: None if isinstance(v, bool) else f"must be true or false, not {_show(v)}"
    if dtype == "string":
        return lambda v: None if isinstance(v, str) else f"must be text, not {_show(v)}"
    match = _LIST.fullmatch(dtype)
    if not match:
        raise ValueError(f"unknown type '{dtype}'")
    inner = match["value"] or match["item"] or match["element"]
    native = _map(checker(inner)) if match["value"] else _sequence(checker(inner), match["size"])
    if "<" in inner:
        return native
    other = str if match["value"] else (str, dict)
    return lambda v: None if isinstance(v, other) else native(v)


def _sequence(each: Check, size: str | None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"must be a list, not {_show(value)}"
        if size is not None and len(value) != int(size):
            return f"must hold {size} values, not {len(value)}"
        return next((wrong for item in value if item is not None and (wrong := each(item))), None)

    return check


def _map(each: Check) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"must be an object, not {_show(value)}"
        return next((wrong for item in value.values() if item is not None and (wrong := each(item))), None)

    return check


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT:
        raise RequestError(f"must be text of 1 to {_TEXT} characters, not {_show(value)}", f"/{name}")
    return value


def _tokens(given: Any) -> Sequence[Token]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > _TOKENS:
        raise RequestError(f"must be a list of at most {_TOKENS} tokens, not {_show(given)}", "/tokens")
    for index, one in enumerate(given):
        if not isinstance(one, list) or len(one) != len(Token._fields) or not all(isinstance(x, str) for x in one):
            raise RequestError(f"must be a token as answers give it, {list(Token._fields)}", f"/tokens/{index}")
    return [Token(*one) for one in given]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _said(dtype: str) -> str:
    return "milliseconds UTC as a whole number" if dtype == "timestamp" else "a whole number of 64 bits"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
