"""The stores as a Dagster resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from saima.settings import Settings
from saima.settings import settings as process_settings
from saima.stores import open_registry, open_tables

if TYPE_CHECKING:
    from saima.stores.interfaces import Registry, Tables


BACKGROUND = {"saima/nice": "15", "saima/upkeep": "true", "dagster/priority": "-10"}
"""Tags of a job that must not slow what serves or retrains: its run's process is nice, and one runs at a time."""


class Stores(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where tables, registry and trained models live; the backends are those of the settings."""

    home: str = Field("", description="Folder of all state; empty: as `saima.toml` and SAIMA_HOME say.")

    @property
    def settings(self) -> Settings:
        """The process's settings, with this resource's home if it names one."""
        chosen = process_settings()
        return chosen.model_copy(update={"home": Path(self.home)}) if self.home else chosen

    @property
    def tables(self) -> Tables:
        """Offline tables."""
        return open_tables(self.settings)

    @property
    def registry(self) -> Registry:
        """Bundles, deployments, claims, facts."""
        return open_registry(self.settings)

    def training(self, algorithm: str, run_id: str) -> Path:
        """Folder of one training: snapshot, held-out rows, models; a run has one."""
        return self.settings.home / "training" / algorithm / run_id
