"""The API of all modes: one Starlette application over a host."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from saima.errors import RequestError, SaimaError
from saima.host import problem
from saima.host.collector import Collector
from saima.host.features import parse_query
from saima.host.features_grants import caller_of
from saima.host.host import Host
from saima.host.meter import prometheus
from saima.host.openapi import specification

MAX_BYTES = 8 << 20
RECORD_KINDS = ("text/plain", "application/x-ndjson", "text/csv", "application/json")
"""Content types of records: one a line, or with application/json one in all."""

MAX_DEADLINE_MS = 60_000
START_SECONDS = 60.0
"""How long a process that starts loads versions before it takes requests from its port."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

Endpoint = Callable[[Request], Awaitable[Response]]


def app(host: Host | Callable[[], Host], collector: Callable[[Host], Collector | None] = lambda _: None) -> Starlette:
    """The application. A host that is given as a function is made, started and stopped with the application.

    collector: what takes events, made on the first call; None refuses them.
    """
    state: dict[str, Any] = {"host": host if isinstance(host, Host) else None}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if isinstance(host, Host):
            yield
            return
        made = state["host"] = await run_in_threadpool(host)
        made.start()
        await run_in_threadpool(made.settle, START_SECONDS)
        try:
            yield
        finally:
            await run_in_threadpool(made.stop)

    def running() -> Host:
        found: Host | None = state["host"]
        if found is None:
            raise RequestError("the host is starting; ask again", status=503)
        return found

    async def collecting() -> Collector:
        found = running()
        if "collector" not in state:
            state["collector"] = await run_in_threadpool(collector, found)
        made: Collector | None = state["collector"]
        if made is None:
            raise RequestError("this host has no log; send events to one that has", status=503)
        return made

    async def predict(request: Request) -> Response:
        body = await _json(request)
        seconds = _deadline(request)
        lane, ticket = running().submit(body, seconds, _trace(request))
        waiting = asyncio.wrap_future(ticket.future)
        try:
            answer = await asyncio.wait_for(asyncio.shield(waiting), max(0.0, ticket.deadline - time.monotonic()))
        except TimeoutError:
            running().give_up(lane, ticket)
            answer = await waiting
        return _answer(answer, {"x-trace-id": answer["trace"]})

    async def events(request: Request) -> Response:
        body = await _json(request)
        found = await collecting()
        return _answer(await run_in_threadpool(found.collect, body))

    async def records(request: Request) -> Response:
        kind = _kind(request, RECORD_KINDS)
        body = await _body(request)
        found = await collecting()
        single = kind == "application/json"
        lines = [body] if single else [line for one in body.split(b"\n") if (line := one.removesuffix(b"\r"))]
        topics = request.query_params.getlist("source")
        return _answer(await run_in_threadpool(found.collect_records, lines, topics))

    async def features(request: Request) -> Response:
        found = running()
        address = request.client.host if request.client else None
        caller = caller_of(found.settings.feature_grants, request.headers.get("authorization"), address)
        question = parse_query(request.query_params.multi_items(), caller)
        return _answer(await run_in_threadpool(found.features, question))

    async def status(_: Request) -> Response:
        found = running()
        return _answer({"host": found.status(), "hosts": await run_in_threadpool(found.statuses)})

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if not running().ready:
            raise RequestError("no version routes yet", status=503)
        return PlainTextResponse("ok\n")

    async def metrics(_: Request) -> Response:
        statuses = await run_in_threadpool(running().statuses)
        recent = (time.time() - 30) * 1000
        alive = {name: one for name, one in statuses.items() if one.get("updated", recent) >= recent}
        return PlainTextResponse(prometheus(alive), media_type="text/plain; version=0.0.4")

    async def openapi(_: Request) -> Response:
        return _answer(specification(running().declarations()))

    routes = [
        Route("/v1/predict", _guarded(predict), methods=["POST"]),
        Route("/v1/events", _guarded(events), methods=["POST"]),
        Route("/v1/records", _guarded(records), methods=["POST"]),
        Route("/v1/features", _guarded(features)),
        Route("/v1/status", _guarded(status)),
        Route("/livez", livez),
        Route("/readyz", _guarded(readyz)),
        Route("/metrics", _guarded(metrics)),
        Route("/openapi.json", _guarded(openapi)),
    ]
    made = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})
    made.state.running = running
    return made


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RequestError as error:
            return problem.response(error, _trace(request))
        except SaimaError as error:
            return problem.response(RequestError(str(error), status=503), _trace(request))

    return call


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem.response(RequestError(error.detail, status=error.status_code))


def _kind(request: Request, known: Sequence[str]) -> str:
    kind = request.headers.get("content-type", known[0]).partition(";")[0].strip()
    if kind not in known:
        raise RequestError(f"content type '{kind}' is not read here; send {' or '.join(known)}", status=415)
    return kind


async def _body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise RequestError(f"the body is above {MAX_BYTES} bytes", status=413)
        chunks.append(chunk)
    return b"".join(chunks)


async def _json(request: Request) -> Any:
    _kind(request, ["application/json"])
    body = await _body(request)
    try:
        return json.loads(body, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}", status=400) from error


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; send null")


def _deadline(request: Request) -> float | None:
    text = request.headers.get("x-deadline-ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise RequestError(f"header x-deadline-ms must be milliseconds, not '{text}'", status=400)
    return min(max(int(text), 1), MAX_DEADLINE_MS) / 1000


def _trace(request: Request) -> str | None:
    match = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    return match[1] if match else None


def _answer(document: Any, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body, 200, headers, "application/json")
