"""Tells Dagster, over its REST endpoint, what the worker has appended: coalesced, from a persisted last report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from saima.stores.interfaces import Registry
from saima.worker.frames import MATCHES

LOG = logging.getLogger("saima.worker")


class Reporter:
    """Reports asset materializations to the Dagster webserver at `address`.

    What has been reported is the fact `reported/<asset>`; while Dagster is down the newest state waits, and one report
    covers everything since.
    """

    def __init__(self, registry: Registry, address: str, timeout: float = 3.0) -> None:
        self._registry = registry
        self._address = address.rstrip("/")
        self._http = httpx.Client(timeout=timeout)
        self.error = ""

    def report(self, asset: str, state: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> bool:
        """Report `asset` (`<algorithm>/<asset>`) if its state, small JSON values, differs from the last report.

        beside: numbers that go with a report and cause none. Returns whether Dagster knows the state now.
        """
        fact = f"reported/{asset}"
        if self._registry.fact(fact) == dict(state):
            return True
        if not self._post(asset, {**state, **(beside or {})}):
            return False
        self._registry.put_fact(fact, state)
        return True

    def _post(self, asset: str, state: Mapping[str, Any]) -> bool:
        body: dict[str, Any] = {"metadata": dict(state)}
        if "offset" in state:
            body["data_version"] = str(state["offset"])
        try:
            answer = self._http.post(f"{self._address}/report_asset_materialization/{asset}", json=body)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            text = f"Dagster at {self._address} takes no reports now: {error!r}"
            if text != self.error:
                LOG.warning("%s; the newest state is reported when it answers", text)
            self.error = text
            return False
        self.error = ""
        return True


def numbers(asset: str, status: Mapping[str, Any], topic: str = "") -> dict[str, Any]:
    """What Dagster plots of an asset beside its state, out of a worker's status: lag, late, refused, watermark.

    topic: that of its events, where the asset's name does not say it. Of several shards the greatest lag, and that of
    each.

    >>> status = {"lag_events": 2, "counts": {"late": 1, "refused": 0}, "watermarks": {"click": 7}}
    >>> numbers("ctr/events_click", status)
    {'lag_events': 2, 'late': 1, 'refused': 0, 'watermark': 7, 'watermark_utc': '1970-01-01 00:00:00'}
    """
    counts = status.get("counts", {})
    found: dict[str, Any] = {
        "lag_events": status.get("lag_events"),
        "late": counts.get("late"),
        "refused": counts.get("refused"),
    }
    topic = topic or asset.partition("/events_")[2]
    found["watermark"] = status.get("watermarks", {}).get(topic)
    folder, _, linker = asset.partition("/")
    if folder == "sessions":
        sessions = status.get("sessions", {}).get(linker, {})
        found |= {name: sessions.get(name) for name in ("late", "held", "open", "watermark")}
    if asset == MATCHES:
        rules = status.get("rules", {})
        found |= {name: rules.get(name) for name in ("late", "held", "watermark")}
    if found["watermark"] is not None:
        moment = datetime.fromtimestamp(found["watermark"] / 1000, UTC)
        found["watermark_utc"] = f"{moment:%Y-%m-%d %H:%M:%S}"
    shards = status.get("shards", {})
    found |= {f"lag_events {name}": told.get("lag_events") for name, told in shards.items() if len(shards) > 1}
    return {name: value for name, value in found.items() if value is not None}


def tiles(
    aggregates: Mapping[str, Mapping[str, str]], known: Mapping[str, Mapping[str, Any]], position: int
) -> dict[str, dict[str, Any]]:
    """State of the tiles by asset key: what the event tables of their topics are at, once the online store covers it.

    aggregates: topic by aggregate, by algorithm; known: state by sink; position: that the online store covers.

    >>> tiles({"ctr": {"clicks": "click"}}, {"events/click": {"offset": 3, "newest_time": 8}}, 9)
    {'ctr/tiles_clicks': {'offset': 3, 'newest_time': 8}}
    """
    found = {}
    for algorithm, topics in aggregates.items():
        for name, topic in topics.items():
            state = known.get(f"events/{topic}", {})
            if state.get("offset") is not None and state["offset"] <= position:
                found[f"{algorithm}/tiles_{name}"] = {key: state[key] for key in ("offset", "newest_time")}
    return found


def assets(
    declared: Mapping[str, Mapping[str, Any]], sinks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """State by asset key out of the state by sink; an event table is the asset `events_<topic>` of each algorithm
    that declares the topic (`declared`: sources by algorithm).

    >>> assets({"ctr": {"click": None}}, {"events/click": {"rows": 3}, "ctr/samples": {"rows": 1}})
    {'ctr/events_click': {'rows': 3}, 'ctr/samples': {'rows': 1}}
    """
    found: dict[str, Mapping[str, Any]] = {}
    for sink, state in sinks.items():
        folder, _, name = sink.partition("/")
        if folder != "events":
            found[sink] = state
            continue
        for algorithm, sources in declared.items():
            if name in sources:
                found[f"{algorithm}/events_{name}"] = state
    return found
