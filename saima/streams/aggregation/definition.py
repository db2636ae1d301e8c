"""A declared aggregate in canonical form; equal ones have equal digests, whoever declares them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from saima.errors import DeclarationError
from saima.features.declaration import Declaration, Tier
from saima.features.syntax import ExpressionError
from saima.features.windows import window
from saima.features.windows.canonical import canonical


@dataclass(frozen=True)
class Definition:
    """One aggregate: `windows` are (width, hop) in ms, `texts` their declared texts, `where` in canonical form."""

    name: str
    source: str
    key: tuple[str, ...]
    value: str | None
    where: str | None
    measures: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    texts: tuple[str, ...]
    k: int = 10
    exact: bool = True
    error: float | None = None
    tier: Tier = "eager"

    @cached_property
    def digest(self) -> str:
        """Hash of what is computed, without the name and the tier."""
        parts = [
            self.source, self.key, self.value, self.where, sorted(set(self.measures)), sorted(set(self.windows)),
            self.k if self.listed else None, self.error,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def listed(self) -> bool:
        """Whether `k` means anything."""
        return any(measure.endswith("_k") for measure in self.measures)

    def document(self) -> dict[str, Any]:
        """The definition as JSON holds it."""
        return asdict(self)


def from_document(found: Mapping[str, Any]) -> Definition:
    """The definition that `document` wrote."""
    lists = {name: tuple(found[name]) for name in ("key", "measures", "texts")}
    return Definition(**{**found, **lists, "windows": tuple((width, hop) for width, hop in found["windows"])})


def definitions(algorithm: str, declaration: Declaration, tiers: Mapping[str, Tier] | None = None) -> list[Definition]:
    """The aggregates of a declaration, named `<algorithm>.<aggregate>`; `tiers` by aggregate, as declared unless said.

    Raises DeclarationError for a window or a condition that cannot be read.
    """
    found = []
    for name, aggregate in declaration.aggregates.items():
        try:
            windows = [window(text, aggregate.hop) for text in aggregate.windows]
            where = canonical(aggregate.where) if aggregate.where and aggregate.where.strip() else None
        except (ValueError, ExpressionError) as error:
            raise DeclarationError(f"algorithms/{algorithm}: aggregates.{name}: {error}") from error
        key = (aggregate.key,) if isinstance(aggregate.key, str) else tuple(sorted(aggregate.key))
        found.append(
            Definition(
                name=f"{algorithm}.{name}", source=aggregate.source, key=key, value=aggregate.value, where=where,
                measures=tuple(aggregate.measures), windows=tuple((w.width, w.hop) for w in windows),
                texts=tuple(aggregate.windows), k=aggregate.k, exact=aggregate.exact, error=aggregate.error,
                tier=(tiers or {}).get(name, aggregate.tier),
            )
        )  # fmt: skip
    return found
