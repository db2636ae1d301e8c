"""Single events into tiles: keys, values and conditions of a payload, as `windows.rows.select` has them of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from saima.features.declaration import Source
from saima.features.expression import interpret
from saima.features.keys import key_text
from saima.features.windows.definition import Group
from saima.features.windows.where import condition
from saima.streams.aggregation.tiles import Tiles

Take = Callable[[int, int, Mapping[str, Any]], None]


def take(tiles: Tiles, source: Source) -> Take:
    """How a group takes in a single event (time, seq, payload)."""
    group, add = tiles.group, tiles.add
    node = condition(source, group.where, f"aggregates over '{group.source}'") if group.where else None
    fields, (first, *more) = tuple(source.fields), group.key
    convert, field = converter(group), group.value

    def admit(time: int, seq: int, payload: Mapping[str, Any]) -> None:
        key = payload.get(first)
        if more or key.__class__ is not str:
            key = key_text([payload.get(part) for part in group.key])
            if key is None:
                return
        if node is not None and interpret(node, {name: payload.get(name) for name in fields}) is not True:
            return
        if field is None:
            add(key, (time, seq or 0, None))
            return
        value = convert(payload.get(field))
        if value is not None:
            add(key, (time, seq or 0, value))

    return admit


def plain(group: Group) -> bool:
    """Whether a group counts every event by one field, and its values are whole numbers."""
    return group.where is None and len(group.key) == 1 and group.dtype == "int64"


def converter(group: Group) -> Callable[[Any], Any]:
    """A payload's value as the group holds it, None where it does not count; equal to `windows.rows.select`."""
    if group.is_text:
        return lambda value: None if value is None else value if isinstance(value, str) else key_text([value])
    if group.is_float:
        return lambda value: None if value is None or value != value else float(value) + 0.0
    return lambda value: None if value is None else int(value)
