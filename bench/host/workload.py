"""The host's workload: 100 features of 500 candidates, XGBoost of 100 trees, in a home of its own.

The declaration and the store are those of the feature benchmark (bench/features/online.py).
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "features"))

import numpy as np
import online
import polars as pl

from saima.features import load
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.routing.deployment import chain, configure, refresh, write
from saima.settings import Settings
from saima.stores import open_registry
from serving.bundles import TrainedModel, build

NAME = "bench_online"
CANDIDATES, TREES, TOP = 500, 100, 10
NOW = online.END + 1_000


def declaration() -> dict[str, Any]:
    """The algorithm: the best 10 are returned, their features and a sample of the others' are journalled."""
    return online.declaration() | {"top_k": TOP, "journal": {"items": "returned_and_sampled", "sample": 0.01}}


def prepare(home: Path) -> Settings:
    """A home with the store, one trained and published bundle, deployed; made once, then found again."""
    settings = Settings(home=home, algorithms=home / "algorithms", fsync=False)
    if (home / "ready").exists():
        return settings
    place = settings.algorithms / NAME
    place.mkdir(parents=True)
    (place / "algorithm.yaml").write_text(json.dumps(declaration()))
    algorithm = load(place)
    online.fill(algorithm, settings).close()
    publish(settings, "main", seed=0)
    (home / "ready").write_text("")
    return settings


def publish(settings: Settings, lineage: str, seed: int, padding: int = 0, **state: Any) -> int:
    """Train, bundle and deploy another version; `padding` bytes make its bundle larger. Its publication."""
    publication = built(settings, lineage, seed, padding)
    deploy(settings, lineage, publication, **state)
    return publication


def deploy(settings: Settings, lineage: str, publication: int, **state: Any) -> None:
    """Let a lineage answer with a published version."""
    state.setdefault("allow_request_time", True)
    write(open_registry(settings), chain(refresh(NAME, lineage, publication), configure(NAME, **state)),
          "bench", "bench")  # fmt: skip


def built(settings: Settings, lineage: str, seed: int, padding: int = 0) -> int:
    """Train, bundle and publish another version, which nothing answers with yet. Its publication."""
    algorithm = load(settings.algorithms / NAME)
    rng = np.random.default_rng(seed)
    names = list(algorithm.plan.features)
    rows = pl.DataFrame({name: rng.lognormal(1, 1, 4000).astype(np.float32) for name in names})
    types = {name: dtype.polars for name, dtype in algorithm.plan.features.items()}
    rows = rows.with_columns(pl.col(name).cast(dtype) for name, dtype in types.items())
    rows = rows.with_columns(label=pl.sum_horizontal(pl.col(names[:10]).cast(pl.Float64)) + pl.Series(rng.random(4000)))
    spec = spec_of(algorithm.declaration, "trees", settings={"rounds": TREES, "depth": 6})
    folder = settings.home / "models" / f"{lineage}-{seed}"
    trainer("xgboost").fit(rows, spec).save(folder)
    if padding:
        (folder / "padding.bin").write_bytes(rng.bytes(padding))
    registry = open_registry(settings)
    warm = [{"request": {}, "user": {"user": "u0"}, "items": [{"item_id": f"i{n}"} for n in range(CANDIDATES)],
             "time": NOW}] * 3  # fmt: skip
    row = build(algorithm, lineage, {"trees": TrainedModel("xgboost", folder)}, DataState({0: 1}, 0, 0), registry,
                trained_at=seed, warm_up=warm, settings=settings)  # fmt: skip
    return row.publication


def bodies(count: int, seed: int = 1, candidates: int = CANDIDATES) -> list[dict[str, Any]]:
    """Requests: each another user's, about other candidates, at the store's time."""
    rng = random.Random(seed)  # noqa: S311 - chooses candidates
    return [
        {
            "algorithm": NAME,
            "request": {},
            "user": {"user": f"u{rng.randrange(online.USERS)}"},
            "items": [{"item_id": f"i{n}"} for n in rng.sample(range(online.ITEMS), candidates)],
            "time": NOW + number,
        }
        for number in range(count)
    ]
