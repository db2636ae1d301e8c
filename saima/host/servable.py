"""What the host needs of a bundle and of an extractor: the seam between routing and what answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from saima.events import Position
from saima.features.declaration import Declaration
from saima.host.channel import Channel
from saima.host.journal import Featured

Items = list[dict[str, Any]] | None


class Extracted(Featured, Protocol):
    """Features of one request and what they were read from."""

    @property
    def features(self) -> pl.DataFrame: ...

    def select(self, names: Sequence[str]) -> pl.DataFrame: ...

    def matrix(self, names: Sequence[str]) -> np.ndarray: ...

    @property
    def position(self) -> Position: ...

    @property
    def positions(self) -> Sequence[int]:
        """Offset that the state of each shard covers, where there are several."""
        ...

    @property
    def rows(self) -> Mapping[str, Any]: ...

    @property
    def degraded(self) -> Sequence[str]: ...


class Extracts(Protocol):
    """Reads the online store in one transaction and computes the features of a request."""

    def extract(self, request: dict[str, Any], user: dict[str, Any] | None, items: Items, time: int) -> Extracted: ...


class Scored(Protocol):
    """Outputs of every model that ran, by `model.output`, and the fused score, float64 [n]."""

    @property
    def outputs(self) -> Mapping[str, np.ndarray]: ...

    @property
    def score(self) -> np.ndarray: ...


class Declares(Protocol):
    """A loaded algorithm, as far as the host reads it."""

    @property
    def declaration(self) -> Declaration: ...


class Servable(Protocol):
    """One immutable version of an algorithm, loaded."""

    @property
    def algorithm(self) -> Declares: ...

    @property
    def preprocess(self) -> Callable[[dict[str, Any], Channel], dict[str, Any]] | None:
        """The algorithm's own step before extraction, from {request, user, items} to the same."""
        ...

    @property
    def postprocess(self) -> Callable[[dict[str, Any], dict[str, Any], Channel], dict[str, Any]] | None:
        """The algorithm's own last step, from ({request, user, items}, answer) to the answer that is sent."""
        ...

    def score(self, features: Extracted, parameters: Mapping[str, Any]) -> Scored: ...

    def check_golden(self) -> None:
        """Raise BundleError if the golden requests are answered differently."""
        ...

    def close(self) -> None: ...
