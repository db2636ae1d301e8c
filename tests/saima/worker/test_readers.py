"""The alarm for windows that nobody reads."""

from __future__ import annotations

from pathlib import Path

from saima.features.declaration import Declaration
from saima.settings import Settings
from saima.stores import open_registry
from saima.streams.aggregation.readership import DAY
from saima.worker.catalog import Catalog, catalog
from saima.worker.readers import DAYS, FACT, PAUSE, Readers

NOW = 1_700_000_000_000


def declared(name: str, **aggregates: dict[str, object]) -> Declaration:
    base = {"from": "s", "key": "k", "value": "n", "measures": ["sum"], "windows": ["1h"]}
    return Declaration.model_validate(
        {
            "algorithm": name,
            "sources": {"s": {"key": "k", "fields": {"k": "string", "n": "int64"}}},
            "request": {"fields": {"k": "string"}},
            "aggregates": {one: {**base, **changes} for one, changes in aggregates.items()},
            "features": {"x": {"value": "1", "dtype": "int64"}},
        }
    )


def table_of(known: Catalog, name: str) -> str:
    (table,) = known.eager[name]
    return table


def test_what_is_computed_and_not_read_is_named_after_days_whoever_restarts(tmp_path: Path) -> None:
    registry = open_registry(Settings(home=tmp_path))
    first = declared("a", sums={}, maxima={"key": "k", "value": None, "measures": ["count"]}, idle={"tier": "on_read"},
                     old={"tier": "batch", "windows": ["24h"]})  # fmt: skip
    known = catalog({"a": first, "b": declared("b", means={"measures": ["mean"], "windows": ["60m"]})})
    assert set(known.eager) == {"a.sums", "a.maxima", "b.means"}
    assert table_of(known, "a.sums") == table_of(known, "b.means")
    readers = Readers(registry)
    assert readers.unread(known, NOW) == []
    assert readers.unread(known, NOW + DAYS * DAY - 1) == []
    assert Readers(registry).unread(known, NOW + DAYS * DAY) == ["a.maxima", "a.sums", "b.means"]
    registry.put_fact(f"{FACT}{table_of(known, 'b.means')}", {"at": NOW + DAY})
    assert readers.unread(known, NOW + DAYS * DAY + PAUSE) == ["a.maxima"]
    wider = catalog({"a": first, "c": declared("c", new={"windows": ["6h"]})})
    assert Readers(registry).unread(wider, NOW + (DAYS + 1) * DAY) == ["a.maxima", "a.sums"]
    assert "c.new" in Readers(registry).unread(wider, NOW + (2 * DAYS + 1) * DAY)
    registry.close()


def test_the_facts_are_looked_at_now_and_then(tmp_path: Path) -> None:
    registry = open_registry(Settings(home=tmp_path))
    known = catalog({"a": declared("a", sums={})})
    readers = Readers(registry)
    readers.unread(known, NOW)
    late = NOW + DAYS * DAY
    assert readers.unread(known, late) == ["a.sums"]
    registry.put_fact(f"{FACT}{table_of(known, 'a.sums')}", {"at": late})
    assert readers.unread(known, late + PAUSE - 1) == ["a.sums"]
    assert readers.unread(known, late + PAUSE) == []
    registry.close()
