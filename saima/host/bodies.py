"""What a request carries over HTTP and how an answer goes back: bodies, deadline, trace, media types."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from saima.errors import RequestError
from saima.host import arrow

JSON = "application/json"
MAX_DEADLINE_MS = 60_000

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body. Raises RequestError (413) above `limit` bytes, before more of it is held."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise RequestError(f"the body is above {limit} bytes", status=413)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RequestError(f"the body is above {limit} bytes", status=413)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def media_type(request: Request, allowed: tuple[str, ...] = (JSON,)) -> str:
    """The body's media type, the first allowed one where the request names none.

    Raises RequestError (415) for one that is not read.
    """
    kind = request.headers.get("content-type", allowed[0]).partition(";")[0].strip().lower()
    if kind not in allowed:
        raise RequestError(f"content type '{kind}' is not read here; send {' or '.join(allowed)}", status=415)
    return kind


def parse_json(data: bytes) -> Any:
    """The value of JSON text: UTF-8, at most 200 levels deep, no NaN and no infinities. Raises RequestError (400)."""
    try:
        return from_json(data, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}", status=400) from error


def parse(data: bytes, kind: str) -> Any:
    """A prediction's body in its media type. Raises RequestError."""
    return arrow.read_request(data) if kind == arrow.MEDIA_TYPE else parse_json(data)


def answer_type(request: Request, kind: str) -> str:
    """The media type of the answer: the one that the caller accepts, else the one it sent."""
    accepted = request.headers.get("accept", "")
    if arrow.MEDIA_TYPE in accepted:
        return arrow.MEDIA_TYPE
    return JSON if JSON in accepted else kind


def respond(document: Any, kind: str = JSON, trace: str | None = None) -> Response:
    """A document as a response. Raises RequestError (500) for one that its algorithm made unfit for the media type."""
    try:
        body = arrow.write_answer(document) if kind == arrow.MEDIA_TYPE else to_json(document, inf_nan_mode="null")
    except (ValueError, TypeError, AttributeError) as error:
        raise RequestError(f"the answer is no {kind}: {error}", status=500) from error
    return Response(body, 200, trace_header(trace), kind)


def trace_header(trace: str | None) -> dict[str, str]:
    """The header that carries a trace; what a header cannot hold is percent-encoded."""
    return {"x-trace-id": quote(trace, safe="!#$&'()*+,/:;=?@[] ")} if trace else {}


def deadline(request: Request) -> float | None:
    """Seconds of the header `x-deadline-ms`, clamped; None where it is absent. Raises RequestError (400)."""
    text = request.headers.get("x-deadline-ms")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RequestError(f"header x-deadline-ms must be milliseconds, not '{text[:40]}'", status=400)
    return min(max(int(text), 1), MAX_DEADLINE_MS) / 1000


def traceparent(request: Request) -> str | None:
    """The trace of a W3C `traceparent` header, or None."""
    match = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    return match[1] if match else None
