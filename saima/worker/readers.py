"""The alarm for windows that the stream computes and that nobody has read for days."""

from __future__ import annotations

from saima.stores.interfaces import Registry
from saima.streams.aggregation.readership import Readership
from saima.worker.catalog import Catalog

FACT = "read/"
"""Before a table's name, the registry's fact {"at": ms} of its last read, as hosts put it (`saima.host.reads`)."""

SINCE = "computed"
"""The registry's fact of when each computed table was first looked for, ms by table."""

DAYS = 7
"""Days without a read that make an aggregate one that nobody reads."""

PAUSE = 60_000
"""Ms between two looks at the facts."""


class Readers:
    """Looks at the facts of reads now and then; what it says is for people and moves nothing."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._looked: int | None = None
        self._unread: list[str] = []

    def unread(self, catalog: Catalog, now: int) -> list[str]:
        """Eager aggregates as `<algorithm>.<aggregate>`, of whose tables none has been read for DAYS; now in ms."""
        if self._looked is None or now - self._looked >= PAUSE:
            self._unread = self._look(catalog, now)
            self._looked = now
        return self._unread

    def _look(self, catalog: Catalog, now: int) -> list[str]:
        watched = catalog.eager
        known = self._registry.fact(SINCE) or {}
        readership = Readership({table for tables in watched.values() for table in tables})
        readership.resume({"last": {}, "since": known})
        for name, fact in self._registry.facts(FACT).items():
            readership.read(name.removeprefix(FACT), int(fact["at"]))
        alarming = set(readership.unread(now, DAYS))
        since = readership.state()["since"]
        if since != known:
            self._registry.put_fact(SINCE, since)
        return sorted(name for name, tables in watched.items() if alarming.issuperset(tables))
