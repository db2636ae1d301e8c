"""Follows journal and samples of the routed versions, for the guardrails that tables tell of.

What has been summed and how far the tables have been read is one fact, `rails/<algorithm>`: a process that dies in
between counts no row twice and leaves none out. After a pause longer than a window all begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from pydantic import ValidationError
from pydantic_core import from_json

from saima.features.declaration import Declaration
from saima.features.durations import milliseconds
from saima.learning.outcomes import settled
from saima.routing import watch
from saima.routing.deployment import AlgorithmState
from saima.routing.rails import Guardrails
from saima.routing.watch import Decision, Watch
from saima.stores.interfaces import Registry, Tables
from saima.worker.slices import newest, outcomes, records

ROWS = 10_000
"""Most rows of a table that a look reads; the next look goes on from there."""

LOOKED = 1_000
"""Most decisions of a version that a look reads of them, evenly spread."""

REFERENCE = 2_000
"""Decisions of the standby, its last ones, whose scores a version's are compared with."""


class Seen(NamedTuple):
    """Watches by lineage, and whether the tables have more rows."""

    watches: dict[str, Watch]
    more: bool


class Watched:
    """Sums of the routed versions; `declarations` say when an algorithm's outcomes are final."""

    def __init__(self, registry: Registry, tables: Tables) -> None:
        self.declarations: Mapping[str, Declaration] = {}
        self._registry = registry
        self._tables = tables

    def look(self, algorithm: str, state: AlgorithmState, now: int) -> Seen:
        """Take in what is new, at `now` (ms UTC). Raises StoreError."""
        rails, name = state.layout.guardrails, f"rails/{algorithm}"
        if not rails.watched:
            return Seen({}, False)
        known = self._registry.fact(name)
        if not known or now - known["at"] > milliseconds(rails.window):
            known = self._beginning(algorithm)
        watches = {
            lineage: self._watch(algorithm, known["watches"].get(lineage), one.routed, one.standby, rails, now)
            for lineage, one in state.lineages.items()
            if one.routed is not None
        }
        decisions = records(self._tables, f"{algorithm}/journal", known["offset"], ROWS)
        for lineage, one in watches.items():
            watches[lineage] = watch.decided(one, _decisions(decisions.rows, lineage, one.publication, LOOKED), rails)
        samples = outcomes(self._tables, f"{algorithm}/samples", known["time"], self._final(algorithm), ROWS)
        if rails.calibration is not None and samples.rows.height:
            rows = _errors(samples.rows)
            for lineage, one in watches.items():
                own = rows.filter((pl.col("lineage") == lineage) & (pl.col("version") == one.publication))
                watches[lineage] = watch.matured(one, own["error"].to_numpy(), rails)
        told = {
            "at": now,
            "offset": decisions.upto,
            "time": max(samples.upto, known["time"]),
            "watches": {lineage: one.model_dump(mode="json") for lineage, one in watches.items()},
        }
        self._registry.put_fact(name, told)
        return Seen(watches, decisions.more or samples.more)

    def _beginning(self, algorithm: str) -> dict[str, Any]:
        """Read from now on: what was before is not of this watch."""
        rows = newest(self._tables, f"{algorithm}/journal", 1)
        return {
            "offset": int(rows["offset"].max() or 0),  # type: ignore[arg-type]
            "time": int((self._registry.fact(f"samples/{algorithm}") or {}).get("newest_label_time") or 0),
            "watches": {},
        }

    def _watch(
        self, algorithm: str, stored: Any, publication: int, standby: list[int], rails: Guardrails, now: int
    ) -> Watch:
        """The stored watch of the version, or a new one."""
        try:
            known = None if stored is None else Watch.model_validate(stored)
        except ValidationError:  # an earlier release's
            known = None
        if known is not None and watch.follows(known, publication, rails):
            return watch.at(known, rails, now)
        reference: list[float] = []
        if rails.drift is not None and rails.score_range is None and standby:
            rows = newest(self._tables, f"{algorithm}/journal", ROWS)
            found = _decisions(rows, None, standby[0], REFERENCE)
            reference = [one.score for one in found if one.score is not None]
        return watch.begin(publication, rails, reference, now)

    def _final(self, algorithm: str) -> int:
        """Event time (ms) up to which the outcomes of decisions are final: no label that counts is still to come."""
        declaration = self.declarations.get(algorithm)
        newest = (self._registry.fact(f"samples/{algorithm}") or {}).get("newest_label_time")
        if declaration is None or declaration.label is None or newest is None:
            return 0
        label = declaration.label
        late = milliseconds(label.lateness) or milliseconds(declaration.sources[label.source].lateness)
        return int(newest) - milliseconds(label.attribution) - late


def _decisions(rows: pl.DataFrame, lineage: str | None, publication: int, most: int) -> list[Decision]:
    """Decisions of a version; only text that names its number is looked at, since most of a record is features."""
    named = rows.filter(pl.col("record").str.contains(rf'"version":\s*{publication}\b'))
    if named.height > most:
        named = named.gather_every(-(-named.height // most))
    found = []
    for text in named["record"]:
        try:
            record = from_json(text)
            if record["version"] == publication and lineage in (None, record["lineage"]):
                found.append(watch.decision(record))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # no record that anybody could read, so none of a version
    return [one for one in found if one is not None]


def _errors(samples: pl.DataFrame) -> pl.DataFrame:
    """Lineage, version and error (label - score) of decisions: the mean of their candidates, which are not independent
    of each other."""
    known = pl.col("label").is_finite() & pl.col("score").is_finite()
    return (
        settled(samples)
        .filter(known)
        .group_by("trace", "lineage", "version", maintain_order=True)
        .agg((pl.col("label") - pl.col("score")).mean().alias("error"))
        .sort("trace")
    )
