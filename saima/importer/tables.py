"""`feature_tables`: which rows a configuration reads, and the sources, tables and request that they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saima.errors import SaimaError, suggest
from saima.features.types import TypeTextError, parse_type
from saima.importer.markup import Attribute, Element

ATTRIBUTES = ("table", "name", "alias", "tag", "key", "subkey", "cache_time", "cache_size", "query_type")
SIDES = {"user": "user", "item": "item", "context": "request", "request": "request"}
QUERIES = {"sync": "sync", "asyc": "async", "async": "async", "preload": "preload"}
"""Values of `query_type`; `asyc` is the format's own spelling."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_SPACES = {"user": "user", "item": "items", "request": "fields"}


@dataclass(frozen=True)
class Read:
    """A table of the configuration. keys: fields that find its row, on its side of the request."""

    element: Element
    alias: str
    source: str
    keys: tuple[str, ...]
    side: str
    description: str
    query: dict[str, Any]


@dataclass
class Tables:
    """All tables by alias, and the types of their columns and of the request's fields as they become known.

    given: what `types.yaml` says, by alias (or user, item, request) and column.
    """

    reads: dict[str, Read]
    given: Mapping[str, Mapping[str, Any]]
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fields(self, side: str) -> dict[str, Any]:
        """Fields of one side of the request: keys of its tables, and what `types.yaml` adds."""
        own = dict(self.given.get(side, {}))
        keys = [key for read in self.reads.values() if read.side == side for key in read.keys]
        found = {key: own.get(key, "string") for key in dict.fromkeys(keys)}
        if side == "item" and (found or own):
            found = {"item_id": own.get("item_id", "string"), **found}
        return {**found, **own}

    def field(self, name: str) -> str | None:
        """The field of the request that a bare name means: `user.<name>`, `item.<name>` or `request.<name>`."""
        sides = [side for side in ("item", "user", "request") if name in self.fields(side)]
        return f"{sides[0]}.{name}" if sides else None

    def sections(self) -> dict[str, Any]:
        """`sources`, `request` and `tables` of a declaration."""
        sources: dict[str, Any] = {}
        for alias, read in self.reads.items():
            own = self.fields(read.side)
            keys = {key: own[key] for key in read.keys}
            source = sources.setdefault(
                read.source, {"description": read.description, "key": read.keys[0], "fields": {}}
            )
            source["fields"] |= {**keys, **self.columns.get(alias, {})}
        request: dict[str, Any] = {}
        for side, name in (("request", "fields"), ("user", "user")):
            if self.fields(side):
                request[name] = self.fields(side)
        if self.fields("item"):
            request["items"] = {"max": 1000, "fields": self.fields("item")}
        tables = {
            alias: {
                "source": read.source,
                "key": read.keys[0] if len(read.keys) == 1 else list(read.keys),
                "side": read.side,
                **read.query,
            }
            for alias, read in self.reads.items()
        }
        return {"sources": sources, "request": request, "tables": tables}


def read_tables(section: Element | None, given: Mapping[str, Mapping[str, Any]]) -> Tables:
    """The tables of a configuration. Raises DeclarationError at the attribute."""
    reads: dict[str, Read] = {}
    for element in section.each("table") if section else ():
        element.only(ATTRIBUTES)
        read = _read(element)
        if read.alias in reads:
            raise (element.get("alias") or element.require("name")).error(f"the alias '{read.alias}' stands twice")
        reads[read.alias] = read
    known = [*reads, "user", "item", "request"]
    for table, columns in given.items():
        if table not in known:
            problem = f"types.yaml names '{table}'{suggest(table, known)}, which is no table of the configuration"
            raise section.error(problem) if section else SaimaError(problem)
        for column, dtype in columns.items():
            text = dtype.get("type", "") if isinstance(dtype, dict) else str(dtype)
            try:
                parse_type(text)
            except TypeTextError as error:
                mended = f"types.yaml, {table}.{column}: {error}"
                raise (section.error(mended) if section else SaimaError(mended)) from None
    return Tables(reads, given)


def _read(element: Element) -> Read:
    name = _identifier(element.get("name") or element.require("table"))
    alias = _identifier(element.get("alias") or element.get("name") or element.require("table"))
    tag = element.get("tag")
    if tag is not None and tag.value not in SIDES:
        raise tag.error(f"unknown tag '{tag.value}'{suggest(tag.value, SIDES)}; known: {', '.join(SIDES)}")
    side = SIDES[tag.value] if tag else "request"
    keys = [_identifier(element.require("key"))]
    subkey = element.get("subkey")
    source, description = name, f"Rows of {name}."
    if subkey is not None and subkey.value.strip().isdigit():
        source = f"{name}_{subkey.value.strip()}"
        description = f"Part {subkey.value.strip()} of the rows of {name}."
    elif subkey is not None:
        keys.append(_identifier(subkey))
    return Read(element, alias, source, tuple(keys), side, description, _query(element))


def _query(element: Element) -> dict[str, Any]:
    kind, ttl, size = (element.get(name) for name in ("query_type", "cache_time", "cache_size"))
    if kind is not None and kind.value not in QUERIES:
        raise kind.error(f"unknown query_type '{kind.value}'{suggest(kind.value, QUERIES)}; known: sync, asyc")
    found: dict[str, Any] = {"query": QUERIES[kind.value] if kind else "sync"}
    cache: dict[str, Any] = {}
    if ttl is not None:
        cache["ttl"] = duration(_whole(ttl))
    if size is not None:
        cache["size"] = _whole(size) or 1
    return {**found, "cache": cache} if cache else found


def duration(seconds: int) -> str:
    """Seconds as a duration of the declaration.

    >>> duration(3600), duration(90)
    ('1h', '90s')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _whole(attribute: Attribute) -> int:
    text = attribute.value.strip()
    if not text.isdigit() or len(text) > 15:
        raise attribute.error(f"'{text}' is not a whole number")
    return int(text)


def _identifier(attribute: Attribute) -> str:
    text = attribute.value.strip()
    if not _NAME.fullmatch(text):
        raise attribute.error(f"'{text}' is not a name: letters, digits and _, a letter first")
    return text
