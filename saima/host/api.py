"""The API of all modes: one Starlette application over a host."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from saima.errors import RequestError, SaimaError
from saima.host import arrow, bodies, problem
from saima.host.access import Caller, caller_of, listening, refuse_open
from saima.host.collector import Collector
from saima.host.exposition import prometheus
from saima.host.features import parse_query
from saima.host.host import Host
from saima.host.lane import Lane, Ticket
from saima.host.openapi import specification

RECORD_KINDS = ("text/plain", "application/x-ndjson", "text/csv", "application/json")
"""Content types of records: one a line, or with application/json one in all."""

LOG = logging.getLogger("saima.host")
START_SECONDS = 60.0
"""How long a process that starts loads versions before it takes requests from its port."""

Endpoint = Callable[[Request], Awaitable[Response]]


def app(host: Host | Callable[[], Host], collector: Callable[[Host], Collector | None] = lambda _: None) -> Starlette:
    """The application. A host that is given as a function is made, started and stopped with the application.

    collector: what takes events, made on the first call; None refuses them. An application whose process listens to
    other machines does not start without keys.
    """
    state: dict[str, Any] = {"host": host if isinstance(host, Host) else None}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if isinstance(host, Host):
            refuse_open(host.settings.api_keys, listening())
            yield
            return
        made = state["host"] = await run_in_threadpool(host)
        refuse_open(made.settings.api_keys, listening())
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

    def caller(request: Request, scope: str = "") -> Caller:
        address = request.client.host if request.client else None
        found = caller_of(running().settings.api_keys, request.headers.get("authorization"), address)
        if scope:
            found.require(scope)
        return found

    async def predict(request: Request) -> Response:
        found = running()
        caller(request, "predict")
        kind = bodies.media_type(request, (bodies.JSON, arrow.MEDIA_TYPE))
        seconds = bodies.deadline(request)
        data = await bodies.read_bytes(request, found.settings.max_body_bytes)
        raw = data if kind == bodies.JSON else b""
        found.admit(raw, seconds)
        body = bodies.parse(data, kind)
        answer = await _answered(found, *found.submit(body, seconds, bodies.traceparent(request), raw))
        return bodies.respond(answer, bodies.answer_type(request, kind), answer.get("trace"))

    async def events(request: Request) -> Response:
        caller(request, "events")
        bodies.media_type(request)
        body = bodies.parse_json(await bodies.read_bytes(request, running().settings.max_body_bytes))
        found = await collecting()
        return bodies.respond(await run_in_threadpool(found.collect, body))

    async def records(request: Request) -> Response:
        caller(request, "events")
        kind = bodies.media_type(request, RECORD_KINDS)
        body = await bodies.read_bytes(request, running().settings.max_body_bytes)
        found = await collecting()
        single = kind == "application/json"
        lines = [body] if single else [line for one in body.split(b"\n") if (line := one.removesuffix(b"\r"))]
        topics = request.query_params.getlist("source")
        return bodies.respond(await run_in_threadpool(found.collect_records, lines, topics))

    async def features(request: Request) -> Response:
        question = parse_query(request.query_params.multi_items(), caller(request, "features"))
        return bodies.respond(await run_in_threadpool(running().features, question))

    async def status(request: Request) -> Response:
        caller(request, "admin")
        found = running()
        return bodies.respond({"host": found.status(), "hosts": await run_in_threadpool(found.statuses)})

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if not running().ready:
            raise RequestError("no version routes yet", status=503)
        return PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        caller(request, "admin")
        statuses = await run_in_threadpool(running().statuses)
        recent = (time.time() - 30) * 1000
        alive = {name: one for name, one in statuses.items() if one.get("updated", recent) >= recent}
        return PlainTextResponse(prometheus(alive), media_type="text/plain; version=0.0.4")

    async def openapi(request: Request) -> Response:
        caller(request)
        return bodies.respond(specification(running().declarations()))

    asked = _guarded(predict)

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await (await asked(Request(scope, receive, send)))(scope, receive, send)

    routes = [
        Route("/v1/predict", asked, methods=["POST"]),
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
    made.state.predict = first
    return made


def shortened(application: Starlette, outer: ASGIApp) -> ASGIApp:
    """`outer`, which has the application mounted in it, with a short way for predictions: no middleware, no routes."""

    async def entry(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/predict" and scope["method"] == "POST":
            await application.state.predict(scope, receive, send)
        else:
            await outer(scope, receive, send)

    return entry


async def _answered(host: Host, lane: Lane, ticket: Ticket) -> dict[str, Any]:
    """The answer of a submitted request, or Expired when its deadline comes first."""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    def wake() -> None:
        if not arrived.done():
            arrived.set_result(None)

    def tell(_: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake)

    timer = loop.call_later(max(0.0, ticket.deadline - time.monotonic()), wake)
    ticket.future.add_done_callback(tell)
    await arrived
    timer.cancel()
    if not ticket.future.done():
        host.give_up(lane, ticket)
        await asyncio.wrap_future(ticket.future)  # its answer has been committed
    answer: dict[str, Any] = ticket.future.result()
    return answer


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def call(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RequestError as error:
            return problem.response(error, bodies.traceparent(request))
        except SaimaError as error:
            return problem.response(RequestError(str(error), status=503), bodies.traceparent(request))
        except Exception as error:
            LOG.exception("%s %s", request.method, request.url.path)
            unforeseen = RequestError(f"{type(error).__name__}: the host's log has the rest", status=500)
            return problem.response(unforeseen, bodies.traceparent(request))

    return call


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem.response(RequestError(error.detail, status=error.status_code))
