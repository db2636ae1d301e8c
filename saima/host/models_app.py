"""The other side of remote models: an application that scores rows of features with models of a BentoML model store."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import polars as pl
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from saima.errors import BundleError, RequestError, SaimaError
from saima.host import problem
from saima.host.bodies import read_bytes
from saima.host.manifest import model_digest
from saima.host.remote import MEDIA_TYPE, ONLY, packed_outputs
from saima.learning.model import Model
from saima.learning.trainers import KINDS, trainer

MAX_BYTES = 64 << 20
_DIGITS = frozenset("0123456789abcdef")


class ModelStore:
    """Models by the digest of their files, loaded when first asked for, verified before; the newest used are held."""

    def __init__(self, folder: Path, held: int = 16) -> None:
        """folder: `models` of a BentoML home."""
        self._folder = folder
        self._held = held
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str) -> Model:
        """The model of a digest. Raises RequestError (404) where there is none, BundleError for a changed one."""
        with self._lock:
            model = self._models.get(digest)
            if model is None:
                model = self._models[digest] = self._load(digest)
            self._models.move_to_end(digest)
            while len(self._models) > self._held:
                self._models.popitem(last=False)
            return model

    def _load(self, digest: str) -> Model:
        if len(digest) != 64 or not _DIGITS.issuperset(digest):
            raise RequestError("header x-model-digest must be 64 hexadecimal digits", status=400)
        for directory in sorted(self._folder.glob(f"*/{digest[:16]}")):
            if model_digest(directory) != digest:
                raise BundleError(f"{directory}: the model has been changed since it was built")
            return trainer(_kind(directory)).load(directory)
        raise RequestError(f"no model here has the digest {digest[:16]}", status=404)


def app(models: ModelStore, admit: Callable[[str | None, str | None], object]) -> Starlette:
    """`POST /v1/score`: an Arrow stream of features and the header `x-model-digest` in, one of float64 outputs back.

    admit: gets the `authorization` header and the caller's address, and raises RequestError for who may not ask.
    """

    async def score(request: Request) -> Response:
        try:
            admit(request.headers.get("authorization"), request.client.host if request.client else None)
            body = await read_bytes(request, MAX_BYTES)
            digest = request.headers.get("x-model-digest", "")
            return Response(await run_in_threadpool(_score, models, digest, body), 200, None, MEDIA_TYPE)
        except RequestError as error:
            return problem.response(error)
        except SaimaError as error:
            return problem.response(RequestError(str(error), status=503))

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/v1/score", score, methods=["POST"]), Route("/livez", livez)])


def _score(models: ModelStore, digest: str, body: bytes) -> bytes:
    model = models.get(digest)
    try:
        columns = pl.read_ipc_stream(io.BytesIO(body))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RequestError(f"the body is no Arrow stream: {error}", status=400) from error
    missing = [name for name in model.features if name not in columns.columns]
    if missing:
        raise RequestError(f"the features lack {', '.join(missing[:5])} ({len(missing)} columns)")
    several = getattr(model, "outputs", None)
    return packed_outputs(several(columns) if several is not None else {ONLY: model.predict(columns)})


def _kind(directory: Path) -> str:
    """Kind of a stored model, by the label that BentoML keeps of it."""
    import yaml

    labels = yaml.safe_load((directory / "model.yaml").read_text()).get("labels") or {}
    kind = str(labels.get("kind", ""))
    if kind not in KINDS:
        raise BundleError(f"{directory / 'model.yaml'}: has no label that tells the kind of the model")
    return kind
