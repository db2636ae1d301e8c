"""Names, groups and owners of assets: keys are `[algorithm, asset]`, groups are the stages that data passes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import dagster as dg

from saima.features.declaration import Declaration

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS, FEATURES, SAMPLES, MODELS, EVALUATION, SERVING, EXPERIMENTS = (
    "events",
    "features",
    "samples",
    "models",
    "evaluation",
    "serving",
    "experiments",
)


class Common(TypedDict):
    """Attributes that every asset of an algorithm has."""

    group_name: str
    owners: list[str]
    tags: Mapping[str, str]


def common(declaration: Declaration, group: str) -> Common:
    """Group, owner and tags of an asset of this algorithm."""
    return {"group_name": group, "owners": [declaration.owner], "tags": {"saima/algorithm": declaration.algorithm}}


def key(algorithm: str, name: str) -> dg.AssetKey:
    """Key of an algorithm's asset."""
    return dg.AssetKey([algorithm, name])


def history(algorithm: str, topic: str) -> dg.AssetKey:
    """Recorded events of a topic before the history's end."""
    return key(algorithm, f"history_{topic}")


def live(algorithm: str, topic: str) -> dg.AssetKey:
    """All events of a topic, appended by the stream worker."""
    return key(algorithm, f"events_{topic}")


def history_tiles(algorithm: str, aggregate: str) -> dg.AssetKey:
    """Tiles of an aggregate over history, by the batch path."""
    return key(algorithm, f"history_tiles_{aggregate}")


def tiles(algorithm: str, aggregate: str) -> dg.AssetKey:
    """Tiles of an aggregate in the online store, by the stream worker."""
    return key(algorithm, f"tiles_{aggregate}")


def pool(algorithm: str, lineage: str) -> str:
    """Pool that lets one run of a lineage work at a time."""
    return f"retrain_{algorithm}_{lineage}"
