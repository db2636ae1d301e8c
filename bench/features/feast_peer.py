"""Feast beside us: precomputed features from its SQLite online store, and its historical retrieval.

Run by the interpreter of Feast's own environment; JSON on stdout. Feast computes no feature here, it only fetches:
the values are there before the clock starts.

    build/bench/feast/bin/python bench/features/feast_peer.py online --entities 500 --features 100
    build/bench/feast/bin/python bench/features/feast_peer.py historical --rows 1000000 --features 20
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ["FEAST_USAGE"] = "False"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType  # noqa: E402
from feast.types import Float32  # noqa: E402


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: a peer that calls home would measure the network, and tell somebody."""
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise PermissionError(f"a benchmark's peer wanted to reach {arguments[1]}")


sys.addaudithook(refuse_network)
START = datetime(2026, 1, 1, tzinfo=UTC)


def store_in(folder: Path) -> FeatureStore:
    """A local store: file registry, SQLite online store, the file offline store."""
    config = RepoConfig(
        project="bench",
        registry=str(folder / "registry.db"),
        provider="local",
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
        repo_path=str(folder),
    )
    return FeatureStore(config=config)


def declare(store: FeatureStore, folder: Path, frame: pd.DataFrame, names: list[str]) -> None:
    """A feature view of the frame's features by item_id."""
    path = folder / "features.parquet"
    frame.to_parquet(path)
    entity = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    source = FileSource(path=str(path), timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=Float32) for name in names]
    view = FeatureView(
        name="view", entities=[entity], schema=schema, source=source, ttl=timedelta(days=365), online=True
    )
    store.apply([entity, view])


def rows_of(keys: np.ndarray, times: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Random features of (key, time) pairs."""
    rng = np.random.default_rng(0)
    values = rng.random((len(keys), len(names)), dtype=np.float32)
    frame = pd.DataFrame(values, columns=names)
    frame["item_id"] = keys
    frame["event_timestamp"] = pd.to_datetime(times, utc=True)
    return frame


def online(entities: int, features: int, repeats: int) -> dict[str, Any]:
    """Seconds of `get_online_features` of all features for so many entities."""
    names = [f"f{place}" for place in range(features)]
    with tempfile.TemporaryDirectory(prefix="feast-") as text:
        folder = Path(text)
        store = store_in(folder)
        keys = np.arange(entities)
        frame = rows_of(keys, np.full(entities, np.datetime64(START.replace(tzinfo=None))), names)
        declare(store, folder, frame, names)
        store.write_to_online_store("view", frame)
        references = [f"view:{name}" for name in names]
        asked = [{"item_id": int(key)} for key in keys]
        answer = store.get_online_features(features=references, entity_rows=asked).to_dict()
        assert answer["f0"] == [float(value) for value in frame["f0"]], "Feast must find every value"
        found, computed = [], []
        for _ in range(repeats):
            started, busy = time.perf_counter(), time.process_time()
            store.get_online_features(features=references, entity_rows=asked)
            computed.append(time.process_time() - busy)
            found.append(time.perf_counter() - started)
    cpu = float(np.quantile(computed, 0.5) * 1000)
    return {"entities": entities, "features": features, "repeats": repeats, **quantiles(found), "cpu_p50_ms": cpu}


def historical(rows: int, features: int, keys: int, versions: int) -> dict[str, Any]:
    """Seconds of one `get_historical_features` of so many rows; every key has a few versions of its features."""
    names = [f"f{place}" for place in range(features)]
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="feast-") as text:
        folder = Path(text)
        store = store_in(folder)
        day = np.timedelta64(1, "D")
        start = np.datetime64(START.replace(tzinfo=None))
        times = start + np.tile(np.arange(versions), keys) * day
        declare(store, folder, rows_of(np.repeat(np.arange(keys), versions), times, names), names)
        moments = start + day + rng.integers(0, (versions - 1) * 86_400_000, rows).astype("timedelta64[ms]")
        asked = pd.DataFrame(
            {"item_id": rng.integers(0, keys, rows), "event_timestamp": pd.to_datetime(moments, utc=True)}
        )
        references = [f"view:{name}" for name in names]
        started, busy = time.perf_counter(), time.process_time()
        found = store.get_historical_features(entity_df=asked, features=references).to_df()
        seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    assert len(found) == rows, "Feast must answer every row"
    assert not found["f0"].isna().any(), "Feast must find every value"
    sizes = {"rows": rows, "features": features, "keys": keys, "versions": versions}
    return {**sizes, "seconds": seconds, "cpu_seconds": cpu}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    return {"p50_ms": float(np.quantile(seconds, 0.5) * 1000), "p99_ms": float(np.quantile(seconds, 0.99) * 1000)}


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["online", "historical"])
    parser.add_argument("--entities", type=int, nargs="+", default=[500])
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.what == "online":
        found: Any = [online(count, chosen.features, chosen.repeats) for count in chosen.entities]
    else:
        found = historical(chosen.rows, chosen.features, chosen.keys, chosen.versions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump({"peer": "feast", "what": chosen.what, "peak_mb": peak, "found": found}, sys.stdout)


if __name__ == "__main__":
    main()
