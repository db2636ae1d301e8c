"""What the stream worker keeps beside event tables: matches of rules; and how far it is behind."""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg

from assets import keys, schema
from assets.factory import Assets
from assets.stores import Stores
from saima.features import Algorithm
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


def lag(algorithm: Algorithm) -> list[dg.AssetChecksDefinition]:
    """One check a live event table: the worker runs, and is not far behind the head of the log."""
    return [_lag(algorithm, topic) for topic in algorithm.declaration.sources]


def _lag(algorithm: Algorithm, topic: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.live(algorithm.name, topic),
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
        marks = [status.get("watermarks", {}).get(topic) for status in statuses.values()]
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
