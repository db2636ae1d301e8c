"""A model behind an address: the same numbers as in this process, or an error in time for the fallback."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
from numpy.typing import NDArray

from saima.errors import SaimaError, suggest
from saima.host.breaker import Breaker
from saima.host.deadline import left
from saima.learning.tensors import Features, frame
from saima.settings import RemoteModels

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
ONLY = "score"
"""Name of the output of a model that has one, which does not know what its declaration calls it."""

SHARE = 0.75
"""Most of what a request has left that it waits for a remote: the rest is for the fallback."""

MOST = 3600.0
LEAST = 0.001
"""Seconds below which an attempt is not started."""

for _name in ("httpx", "httpcore"):  # at INFO and below they write every address
    logging.getLogger(_name).setLevel(logging.WARNING)


class RemoteError(SaimaError):
    """A remote model that did not answer; it names the declared name, never the address."""


class Remotes:
    """The declared names that this process may ask, and what each stands for. Any number of threads may ask."""

    def __init__(self, allowed: Mapping[str, RemoteModels]) -> None:
        self._remotes = {name: Remote(name, settings) for name, settings in allowed.items()}

    def get(self, name: str) -> Remote:
        """What a declared name stands for. Raises RemoteError for a name that the settings do not allow."""
        if name not in self._remotes:
            raise RemoteError(
                f"remote '{name}' is not allowed here{suggest(name, self._remotes)}; name its address in the settings, "
                "under remote_models"
            )
        return self._remotes[name]

    def close(self) -> None:
        """Close all connections."""
        for remote in self._remotes.values():
            remote.close()


class Remote:
    """One address: connections, retries within the time that is left, a circuit breaker."""

    def __init__(self, name: str, settings: RemoteModels) -> None:
        self.name = name
        self._settings = settings
        headers = {"content-type": MEDIA_TYPE}
        if settings.key is not None:
            headers["authorization"] = f"Bearer {settings.key.get_secret_value()}"
        self._http = httpx.Client(headers=headers, trust_env=False)
        self._breaker = Breaker(limit=settings.failures, pause=settings.pause_s)
        self._lock = threading.Lock()

    def ask(self, digest: str, columns: pl.DataFrame) -> pl.DataFrame:
        """Outputs of the model of this digest for rows of features, one column an output, float64.

        Raises RemoteError when nothing came within the settings' timeout and the request's deadline, at once while the
        breaker is open, and for a refusal, which is not tried again.
        """
        with self._lock:
            allowed, self._breaker = self._breaker.ask(time.monotonic())
        if not allowed:
            raise RemoteError(f"remote '{self.name}' is not asked for now: its circuit breaker is open")
        now = time.monotonic()
        until = now + min(self._settings.timeout_ms / 1000, SHARE * left(now, MOST))
        address = self._settings.url.get_secret_value()
        last = "no time is left"
        body = _packed(columns)
        for _ in range(1 + self._settings.retries):
            seconds = until - time.monotonic()
            if seconds < LEAST:
                break
            try:
                answer = self._http.post(address, content=body, headers={"x-model-digest": digest}, timeout=seconds)
            except httpx.HTTPError as error:
                last = type(error).__name__
                continue
            if answer.status_code == 200:
                return self._received(answer.content, columns.height)
            last = f"status {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                break
        raise self._failed(last)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _received(self, content: bytes, rows: int) -> pl.DataFrame:
        try:
            found = pl.read_ipc_stream(io.BytesIO(content))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._failed(f"its answer is no Arrow stream ({type(error).__name__})") from error
        if found.height != rows or not all(dtype == pl.Float64 for dtype in found.dtypes):
            raise self._failed(f"its answer has {found.height} rows for {rows}, or something but float64")
        with self._lock:
            self._breaker = replace(self._breaker, failures=0, opened=None, probing=None)
        return found

    def _failed(self, why: str) -> RemoteError:
        with self._lock:
            self._breaker = self._breaker.fail(time.monotonic())
        return RemoteError(f"remote '{self.name}' gave no answer: {why}")


@dataclass(frozen=True)
class RemoteModel:
    """A model that another process holds, known by the digest of its files; callers cannot tell it from a local one."""

    kind: str
    digest: str
    features: tuple[str, ...]
    output: str
    remote: Remote

    def predict(self, columns: Features) -> NDArray[np.float64]:
        """Scores of the rows, float64 [n]. Raises RemoteError."""
        return self.outputs(columns)[self.output]

    def outputs(self, columns: Features) -> dict[str, NDArray[np.float64]]:
        """Every output by name, float64 [n]. Raises RemoteError."""
        found = self.remote.ask(self.digest, frame(columns, self.features))
        if found.columns == [ONLY]:
            found = found.rename({ONLY: self.output})
        if self.output not in found.columns:
            raise RemoteError(f"remote '{self.remote.name}' gave {', '.join(found.columns)}, not '{self.output}'")
        return {name: found.get_column(name).to_numpy() for name in found.columns}

    def save(self, directory: Path) -> None:
        """Refused: its files are where it runs."""
        raise RemoteError(f"a model of remote '{self.remote.name}' is saved where it runs, not in {directory}")


def _packed(columns: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    columns.write_ipc_stream(sink)
    return sink.getvalue()


def packed_outputs(outputs: Mapping[str, Any]) -> bytes:
    """Outputs by name as the Arrow stream that `Remote.ask` reads."""
    return _packed(pl.DataFrame({name: np.asarray(values, np.float64) for name, values in outputs.items()}))
