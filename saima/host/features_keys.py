"""Fields of a request from the keys of a query: text in their declared types, on the side that declares them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from saima.errors import RequestError, suggest
from saima.host.request import checker

if TYPE_CHECKING:
    from saima.features.declaration import Request

PREFIX = "key."
"""Before a field in a query: `key.origin=JFK`."""

Sides = dict[str, dict[str, Any]]
"""Fields by side: request, user, item."""


def declared_fields(request: Request) -> dict[str, str]:
    """Types of the fields that a request carries, by input column such as `user.age`."""
    items = request.items.fields if request.items else {}
    sides = {"request": request.fields, "user": request.user, "item": items}
    return {f"{side}.{name}": dtype for side, fields in sides.items() for name, dtype in fields.items()}


def fields_of(
    types: Mapping[str, str], needed: Mapping[str, str], given: Mapping[str, str], known: Iterable[str]
) -> Sides:
    """The needed fields by side, from keys by field name, with or without the side.

    needed: per input column what needs it. known: keys that may be given beside them. Raises RequestError naming the
    key that is missing, unknown, ambiguous or of another type.
    """
    allowed = set(known)
    for key in given:
        if key not in allowed:
            raise RequestError(f"unknown field{suggest(key, allowed)}", f"{PREFIX}{key}")
    sides: Sides = {"request": {}, "user": {}, "item": {}}
    for column, reader in needed.items():
        side, _, name = column.partition(".")
        shared = [other for other in needed if other.partition(".")[2] == name]
        key = column if column in given else name
        if key not in given:
            shown = name if len(shared) == 1 else column
            raise RequestError(f"is missing: '{reader}' needs it", f"{PREFIX}{shown}")
        if key == name and len(shared) > 1:
            choices = " and ".join(f"'{PREFIX}{other}'" for other in shared)
            raise RequestError(f"may be several fields; send {choices}", f"{PREFIX}{name}")
        sides[side][name] = _value(given[key], types[column], key)
    return sides


def _value(text: str, dtype: str, key: str) -> Any:
    """Text in a field's type; lists and maps come as JSON or as the delimited text that requests may carry."""
    value: Any = text
    if dtype != "string" and ("<" not in dtype or text[:1] in ("[", "{")):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
    wrong = checker(dtype)(value)
    if wrong:
        raise RequestError(wrong, f"{PREFIX}{key}")
    return value
