"""What the stream worker keeps beside event tables: matches of rules; and how far it is behind."""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg

from assets import keys, schema
from assets.factory import Assets
from assets.stores import Stores
from saima.streams.twin import tiled
from saima.worker.frames import MATCHES, SESSIONS
from saima.worker.linking import of_algorithm as declared

_SILENT_MS = 30_000
_BEHIND = 10_000


def matches(found: Sequence[Assets]) -> dg.AssetSpec:
    """The table of all rules' matches, reported by the stream worker."""
    declared = [each.algorithm.declaration for each in found]
    topics = [(one.algorithm, topic) for one in declared for topic in one.sources]
    return dg.AssetSpec(
        dg.AssetKey([MATCHES]),
        group_name=keys.EVENTS,
        owners=sorted({one.owner for one in declared}),
        kinds={"deltalake", "stream"},
        deps=[keys.live(algorithm, topic) for algorithm, topic in topics],
        description="What rules have matched, each once: `algorithms/<name>/rules/*.json`, `saima rules`. Appended by "
        "the stream worker, which reports it here with its watermark, what waits, what came late.",
        metadata={"table": MATCHES, "dagster/column_schema": schema.of_matches()},
    )


def sessions(found: Sequence[Assets]) -> list[dg.AssetSpec]:
    """One external asset a declared linker: the nodes of its trees."""
    made = []
    for each in found:
        declaration = each.algorithm.declaration
        for name, linking in declared(each.algorithm.directory).items():
            made.append(
                dg.AssetSpec(
                    dg.AssetKey(f"{SESSIONS}{name}".split("/")),
                    **keys.common(declaration, keys.EVENTS),
                    kinds={"deltalake", "stream"},
                    deps=[keys.live(declaration.algorithm, topic) for topic in linking.entries],
                    description=f"Sessions as trees, one row a node; {linking.gap // 1000:,} s of silence end one. "
                    "Appended by the stream worker, which reports it here.",
                    metadata={"table": f"{SESSIONS}{name}", "dagster/column_schema": schema.of_nodes()},
                )
            )
    return made


def tiles(each: Assets) -> list[dg.AssetSpec]:
    """One external asset an aggregate: its tiles in the online store, of history and of the stream."""
    algorithm = each.algorithm
    declared = {name: algorithm.declaration.aggregates[name] for name in tiled(algorithm.declaration, live=True)}
    twins = {twin.key for twin in each.backfills}
    return [
        dg.AssetSpec(
            keys.tiles(algorithm.name, name),
            **keys.common(algorithm.declaration, keys.FEATURES),
            kinds={"stream"},
            deps=[
                keys.live(algorithm.name, aggregate.source),
                *({keys.history_tiles(algorithm.name, name)} & twins),
            ],
            description=f"{', '.join(aggregate.measures)} over {', '.join(aggregate.windows)} of {aggregate.source} by "
            f"{aggregate.key if isinstance(aggregate.key, str) else ', '.join(aggregate.key)}, as tiles in the online "
            "store, where every serving process reads them. Kept by the stream worker, which reports it here.",
            metadata={"online_tables": [group.table for group in tiled(algorithm.declaration, live=True)[name]]},
        )
        for name, aggregate in declared.items()
    ]


def lag(found: Sequence[Assets]) -> list[dg.AssetChecksDefinition]:
    """One check a live event table, a set of tiles, the matches and a linker: the worker runs, and keeps up."""
    checks = []
    for each in found:
        algorithm = each.algorithm
        checks += [_lag(keys.live(algorithm.name, topic), [topic]) for topic in algorithm.declaration.sources]
        for name in tiled(algorithm.declaration, live=True):
            checks.append(_lag(keys.tiles(algorithm.name, name), [algorithm.declaration.aggregates[name].source]))
        for name, linking in declared(algorithm.directory).items():
            checks.append(_lag(dg.AssetKey(f"{SESSIONS}{name}".split("/")), list(linking.entries)))
    topics = {topic for each in found for topic in each.algorithm.declaration.sources}
    return [*checks, _lag(dg.AssetKey([MATCHES]), sorted(topics))]


def _lag(asset: dg.AssetKey, topics: Sequence[str]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="lag",
        description=f"The stream worker has spoken within {_SILENT_MS // 1000} s, and at most {_BEHIND:,} events of "
        "the log wait for it.",
    )
    def check(stores: Stores) -> dg.AssetCheckResult:
        statuses = stores.registry.statuses("worker/")
        if not statuses:
            return _warned("no stream worker has told anything; `saima up` starts one")
        now = time.time_ns() // 1_000_000
        silent = {name: now - int(status["updated"]) for name, status in statuses.items()}
        waiting = {name: int(status.get("lag_events", 0)) for name, status in statuses.items()}
        marks = [status.get("watermarks", {}).get(topic) for status in statuses.values() for topic in topics]
        known = [mark for mark in marks if mark is not None]
        slow = [f"{name} has been silent for {ms // 1000} s" for name, ms in silent.items() if ms > _SILENT_MS]
        slow += [f"{name} is {count} events behind" for name, count in waiting.items() if count > _BEHIND]
        metadata: dict[str, dg.MetadataValue] = {"lag_events": dg.MetadataValue.int(max(waiting.values()))}
        if known:
            metadata["watermark"] = dg.MetadataValue.timestamp(min(known) / 1000)
        return dg.AssetCheckResult(
            passed=not slow,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(slow) or "the worker keeps up",
            metadata=metadata,
        )

    return check


def _warned(text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=text)
