"""Algorithms made at random: sources, tables, windows, features of every side and type, with events and requests."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from saima.features.reads import measure_type
from saima.features.types import parse_type

from .expressions import Texts

START = 1_780_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WORDS = ["a", "b", "é", "中文", "", "a b", "7", "true", "ALL", "N" * 40]
FIELDS = ["int64", "float64", "float32", "string", "bool", "timestamp", "decimal(2)"]
LISTS = ["list<int64>", "list<string>", "list<float64>", "map<string,float64>", "vector<float64,3>"]
RESULTS = [
    "int64",
    "float32",
    "float64",
    "bool",
    "string",
    "decimal(2)",
    "list<int64>",
    "list<string>",
    "list<float64>",
]
WINDOWS = ["10m", "1h", "6h", "1d", "30d"]


@dataclass
class World:
    """A declaration as YAML would hold it, its events by topic in order of offsets, and what callers ask."""

    declared: dict[str, Any]
    events: dict[str, list[dict[str, Any]]]
    asks: list[tuple[int, dict[str, Any], dict[str, Any], list[dict[str, Any]] | None, int]]
    """Position of the state, request, user, items, time."""


def value_of(rng: random.Random, dtype: str, missing: float = 0.15) -> Any:
    """A value of a type as JSON carries it; a decimal is a number."""
    if rng.random() < missing:
        return None
    match dtype:
        case "int64":
            return rng.choice([0, 1, 2, 3, -1, 7, 100, rng.randrange(-1000, 1000)])
        case "float64" | "float32":
            number = rng.choice([0.0, 0.5, -1.0, 2.25, 0.1, 1e-9, round(rng.uniform(-50, 50), 3)])
            return float(number) if dtype == "float64" else rng.randrange(-64, 64) / 8
        case "string":
            return rng.choice(WORDS)
        case "bool":
            return rng.random() < 0.5
        case "timestamp":
            return START + rng.randrange(-3 * DAY, DAY)
        case "decimal(2)":
            return rng.randrange(-2000, 2000) / 100
        case "map<string,float64>":
            return {rng.choice(WORDS): value_of(rng, "float64") for _ in range(rng.randrange(4))}
        case "vector<float64,3>":
            return [value_of(rng, "float64", 0.05) for _ in range(3)]
    return [value_of(rng, dtype[5:-1]) for _ in range(rng.randrange(4))]


def world(seed: int) -> World:
    """The algorithm of a seed; the same each time."""
    rng = random.Random(seed)
    sources = {f"s{seed}_{at}": _source(rng) for at in range(rng.randrange(1, 3))}
    request: dict[str, Any] = {"fields": {"k": "string"}, "user": {"u": "string"}}
    has_items = rng.random() < 0.75
    if has_items:
        request["items"] = {"max": 100, "fields": {"i": "string"}}
    names: dict[str, list[str]] = {"timestamp": ["request.time"]}
    for side, fields in (("request", request["fields"]), ("user", request["user"]), ("item", None)):
        fields = request["items"]["fields"] if side == "item" and has_items else fields
        if fields is None:
            continue
        for at in range(rng.randrange(1, 4)):
            fields[f"{side[0]}{at}"] = rng.choice([*FIELDS, *LISTS])
        for name, dtype in fields.items():
            _name(names, f"{side}.{name}", dtype)
    tables = {f"t{at}": _table(rng, sources, has_items) for at in range(rng.randrange(3))}
    for name, table in tables.items():
        for field, dtype in sources[table["source"]]["fields"].items():
            _name(names, f"{name}.{field}", dtype)
    aggregates = {f"w{at}": _aggregate(rng, sources, has_items) for at in range(rng.randrange(3))}
    for name, aggregate in aggregates.items():
        value = sources[aggregate["from"]]["fields"].get(aggregate.get("value"))
        for measure in aggregate["measures"]:
            for window in aggregate["windows"]:
                dtype = str(measure_type(measure, parse_type(value) if value else None))
                _name(names, f"{name}.{measure}_{window}", dtype)
    features: dict[str, Any] = {}
    for at in range(rng.randrange(2, 8)):
        dtype = rng.choice(RESULTS)
        inner = rng.choice(["float64", "int64"]) if dtype in ("float32", "float64") else dtype
        feature: dict[str, Any] = {"value": Texts(rng, names).make(inner, rng.choice([1, 2, 2, 3])), "dtype": dtype}
        if rng.random() < 0.5:
            feature["default"] = value_of(rng, dtype)
        features[f"x{at}"] = feature
        _name(names, f"x{at}", dtype)
    declared = {
        "algorithm": f"made_{seed}", "sources": sources, "request": request, "tables": tables, "aggregates": aggregates,
        "resources": {"buckets": {"b": [-1, 0, 0.5, 20]}, "vocabularies": {"v": {"terms": ["a", "b", "7", "中文"]}}},
        "features": features,
    }  # fmt: skip
    events, end = _events(rng, sources)
    return World(declared, events, [_ask(rng, request, end, position) for position in (30, 45, 60) for _ in range(2)])


def _name(names: dict[str, list[str]], name: str, dtype: str) -> None:
    names.setdefault("float64" if dtype == "float32" else dtype, []).append(name)


def _source(rng: random.Random) -> dict[str, Any]:
    values = {f"v{at}": rng.choice([*FIELDS, *FIELDS, *LISTS]) for at in range(rng.randrange(1, 4))}
    return {
        "key": "k",
        "fields": {"k": "string", "u": "string", "i": "string", "at": "timestamp", "n": "int64"} | values,
    }


def _reader(rng: random.Random, has_items: bool) -> dict[str, Any]:
    keys: list[tuple[Any, str]] = [("k", "request"), ("u", "user"), (["k", "u"], "request")]
    keys += [("i", "item"), ("i", "item"), (["u", "i"], "item")] if has_items else []
    key, side = rng.choice(keys)
    return {"key": key, "side": side}


def _table(rng: random.Random, sources: dict[str, Any], has_items: bool) -> dict[str, Any]:
    table = {"source": rng.choice(list(sources)), **_reader(rng, has_items), "query": rng.choice(["sync", "preload"])}
    table |= {"valid_from": "at"} if rng.random() < 0.4 else {}
    table |= {"known_at": "time"} if rng.random() < 0.3 else {}
    return table | ({"ttl": rng.choice(["1h", "2d"])} if rng.random() < 0.4 else {})


_MEASURES = {
    "int64": [
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "variance",
        "first",
        "last",
        "first_k",
        "last_k",
        "top_k",
        "distinct",
    ],
    "decimal(2)": ["count", "sum", "mean", "min", "max", "first", "last"],
    "float64": ["count", "min", "max", "first", "last", "last_k", "top_k"],
    "float32": ["count", "min", "max", "last"],
    "string": ["count", "first", "last", "last_k", "first_k", "distinct"],
    "bool": ["count", "first", "last"],
    "timestamp": ["count", "first", "last"],
}


def _aggregate(rng: random.Random, sources: dict[str, Any], has_items: bool) -> dict[str, Any]:
    source = rng.choice(list(sources))
    fields = sources[source]["fields"]
    value = rng.choice([None, "n", *(name for name, dtype in fields.items() if dtype in _MEASURES)])
    measures = _MEASURES[fields[value]] if value else ["count"]
    made = {"from": source, **_reader(rng, has_items)}
    made["measures"] = rng.sample(measures, min(len(measures), rng.randrange(1, 4)))
    made["windows"] = rng.sample(WINDOWS, rng.randrange(1, 3))
    made |= {"value": value} if value else {}
    made |= {"where": rng.choice(["n > 0", "u == 'a' or n % 2 == 0", "not is_null(k)"])} if rng.random() < 0.3 else {}
    made |= {"hop": "0"} if rng.random() < 0.25 else {}
    return made | {"k": rng.randrange(1, 4)}


def _events(rng: random.Random, sources: dict[str, Any]) -> tuple[dict[str, list[dict[str, Any]]], int]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
    clock = START
    for offset in range(1, 61):
        clock += rng.choice([0, 0, 1, 5_000, MINUTE, 10 * MINUTE, 2 * HOUR])
        topic = rng.choice(list(sources))
        when = clock - rng.choice([0, 0, 0, 1, 5 * MINUTE])
        row: dict[str, Any] = {"time": when, "seq": rng.randrange(3), "offset": offset, "late": rng.random() < 0.05}
        for name, dtype in sources[topic]["fields"].items():
            row[name] = rng.choice(["a", "b", "é", None]) if name in "kui" else value_of(rng, dtype)
        row["at"] = when - rng.choice([0, 0, MINUTE, HOUR])
        found[topic].append(row)
    return found, clock


def _ask(rng: random.Random, request: dict[str, Any], end: int, position: int) -> Any:
    def fields(declared: dict[str, str]) -> dict[str, Any]:
        row = {name: _form(rng, value_of(rng, dtype), dtype) for name, dtype in declared.items()}
        return row | {name: rng.choice(["a", "b", "é", None]) for name in row if name in "kui"}

    items = None
    if "items" in request:
        items = [fields(request["items"]["fields"]) for _ in range(rng.choice([1, 2, 5, 9, 20]))]
    time = end + rng.choice([0, 1, MINUTE, HOUR, DAY, 40 * DAY])
    return position, fields(request["fields"]), fields(request["user"]), items, time


def _form(rng: random.Random, value: Any, dtype: str) -> Any:
    """The value natively, or as delimited text where text can tell it, or a list of texts as a map's keys."""
    if not value or dtype not in LISTS or rng.random() < 0.5:
        return value
    cells = list(value.values()) if isinstance(value, dict) else value
    if None in cells or "" in cells or (isinstance(value, dict) and "" in value):
        return value
    if isinstance(value, dict):
        return "\x1d".join(f"{key}:{item}" for key, item in value.items())
    if dtype == "list<string>" and len(set(value)) == len(value) and rng.random() < 0.5:
        return dict.fromkeys(value, 1)
    return "\x1d".join(str(item) for item in value)
