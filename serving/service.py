"""The one factory of BentoML services: the host's API mounted in a service of N workers."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import bentoml

from saima.errors import BundleError
from saima.host import models_app
from saima.host.access import caller_of
from saima.host.api import app, shortened
from saima.host.collector import Collector, declared_sources
from saima.host.host import Host
from saima.host.manifest import MANIFEST, read_manifest
from saima.host.source import BundleSource, SandboxSource
from saima.routing.deployment import LaneSettings
from saima.settings import settings
from saima.stores import open_registry

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
"""Libraries that would start a thread a core in every worker: a request is small, and the lanes own the threads."""

_SWITCH_SECONDS = 0.0005
"""A request passes between threads, and the drainer works beside them: Python's own 5 ms outlast an answer."""

ENVIRONMENT = [
    *({"name": name, "value": "1"} for name in ONE_THREAD),
    {"name": "TF_CPP_MIN_LOG_LEVEL", "value": "3"},
]


def make_service(algorithm: str | None = None) -> Any:
    """The BentoML service of one bundle (`algorithm`: it serves the bundle it lies in), or of the host (None).

    The host holds the versions that the registry's deployment wants; a bundle alone needs no registry, reads the stores
    where SAIMA_HOME names them, and otherwise answers with defaults, flagged degraded, and without a journal.
    """
    application = app(
        registry_host if algorithm is None else lambda: bundle_host(algorithm),
        lambda host: Collector(host.log, declared_sources(host.settings.algorithms)) if host.log else None,
    )

    class Service:
        """Saima's algorithm host."""

        async def __is_ready__(self) -> bool:
            """Whether every deployed algorithm has a version that answers."""
            ready: bool = application.state.running().ready
            return ready

    mounted = bentoml.asgi_app(application, path="/")(Service)
    service = bentoml.service(
        mounted,
        name=algorithm or "saima_host",
        workers=settings().host_workers if algorithm is None else 1,
        http={"host": "127.0.0.1", "port": settings().host_port},  # another address needs keys
        envs=ENVIRONMENT,
        traffic={"timeout": 90},
        metrics={"enabled": False},  # ours tell about all workers of the port
        logging={"access": {"enabled": False}},  # the journal holds every answer
        tracing={"excluded_urls": "v1/,livez,readyz,metrics"},  # traceparent is ours to read; spans would go nowhere
    )

    class Shortened(type(service)):  # type: ignore[misc]
        """The service; its predictions do not pass BentoML's middleware, which takes longer than a small answer."""

        __slots__ = ()

        def to_asgi(self, *arguments: Any, **options: Any) -> Any:
            """BentoML's application behind a short way for predictions."""
            return shortened(application, super().to_asgi(*arguments, **options))

    service.__class__ = Shortened
    return service


def make_models_service() -> Any:
    """The BentoML service that scores with the models of this home's store for hosts elsewhere."""
    chosen = settings()
    application = models_app.app(
        models_app.ModelStore(chosen.home / "bentoml" / "models"),
        lambda authorization, address: caller_of(chosen.api_keys, authorization, address).require("predict"),
    )

    class Service:
        """Saima's models for hosts elsewhere."""

    return bentoml.service(
        bentoml.asgi_app(application, path="/")(Service),
        name="saima_models",
        workers=1,
        http={"host": "127.0.0.1", "port": chosen.host_port + 100},
        envs=ENVIRONMENT,
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
        tracing={"excluded_urls": "v1/,livez"},
    )


def registry_host() -> Host:
    """The host of this process under the registry's deployment.

    SAIMA_SANDBOX names a deployment document: the host serves that one, and writes no journal, status or mark.
    """
    _set_up()
    document = os.environ.get("SAIMA_SANDBOX")
    if document:
        return Host(settings(), source=SandboxSource(open_registry(), Path(document)), journal=False)
    return Host(settings())


def bundle_host(algorithm: str) -> Host:
    """The host of this process for the one bundle that the process was started from."""
    _set_up()
    root = bundle_root(algorithm)
    manifest = read_manifest(root)
    lane = LaneSettings(**manifest.lane.model_dump()) if manifest.lane else None
    source = BundleSource(root, algorithm, manifest.lineage, manifest.digest, lane)
    return Host(settings(), source=source, journal=bool(os.environ.get("SAIMA_HOME")))


def _set_up() -> None:
    """What a process may set that is the host's own: what is logged, how long one thread keeps others waiting."""
    logging.getLogger("saima").setLevel(logging.INFO)
    sys.setswitchinterval(_SWITCH_SECONDS)


def bundle_root(algorithm: str) -> Path:
    """The folder of the bundle around this process: SAIMA_BUNDLE, the working directory, or around this file.

    Raises BundleError where there is none, or one of another algorithm.
    """
    named = os.environ.get("SAIMA_BUNDLE")
    places = [Path(named)] if named else [Path.cwd(), Path(__file__).resolve().parent.parent]
    root = next((place for place in places if (place / MANIFEST).is_file()), None)
    if root is None:
        raise BundleError(
            f"no {MANIFEST} in {' or '.join(map(str, places))}: `bentoml serve {algorithm}:<version>` serves a built "
            "bundle, `bentoml serve serving.bentos.host.service:Host` what is deployed"
        )
    found = read_manifest(root).algorithm
    if found != algorithm:
        raise BundleError(f"{root / MANIFEST} is of algorithm '{found}', not '{algorithm}'")
    return root
