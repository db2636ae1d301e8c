"""Errors as RFC 9457 problem documents that name the field."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from saima.errors import RequestError

MEDIA_TYPE = "application/problem+json"


def document(error: RequestError, trace: str | None = None) -> dict[str, Any]:
    """The problem document of an error; `field` is a JSON pointer into the body, or a query's parameter."""
    title = HTTPStatus(error.status).phrase
    found: dict[str, Any] = {
        "type": f"urn:saima:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": error.status,
        "detail": error.message,
    }
    if error.field:
        found["field"] = error.field
    if trace:
        found["trace"] = trace
    return found


def response(error: RequestError, trace: str | None = None) -> Response:
    """The error as an HTTP response; 429 and 503 say when to ask again, 401 how to say who asks."""
    headers = {"retry-after": "1"} if error.status in (429, 503) else {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if trace:
        headers["x-trace-id"] = trace
    body = json.dumps(document(error, trace), ensure_ascii=False)
    return Response(body, error.status, headers, MEDIA_TYPE)
