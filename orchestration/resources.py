"""Resources of every job: the stores, and the IO manager over their tables."""

from __future__ import annotations

from typing import Any

from assets.stores import Stores
from orchestration.io import TablesIO


def resources(home: str = "") -> dict[str, Any]:
    """Resources by key; `home` overrides the settings' folder of state."""
    stores = Stores(home=home)
    return {"stores": stores, "tables": TablesIO(stores=stores)}
