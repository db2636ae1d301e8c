"""OpenAPI 3.1 of the host's API, with the request schemas of the algorithms that are deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.features.declaration import Declaration
from saima.host.arrow import ANSWER, MEDIA_TYPE, REQUEST
from saima.host.bodies import JSON, MAX_DEADLINE_MS
from saima.host.request import MOST_PARTS

_SCALARS = {
    "int64": {"type": ["integer", "null"]},
    "timestamp": {"type": ["integer", "null"], "description": "milliseconds UTC"},
    "bool": {"type": ["boolean", "null"]},
    "string": {"type": ["string", "null"]},
}


def specification(declarations: Mapping[str, Declaration]) -> dict[str, Any]:
    """The OpenAPI document; one variant of the prediction request an algorithm."""
    variants = [_request(name, declared) for name, declared in sorted(declarations.items())]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Saima algorithm host", "version": "1"},
        "paths": {
            "/v1/predict": {"post": _predict({"oneOf": variants} if variants else {})},
            "/v1/events": {"post": _operation("Append events.", "events", _EVENTS)},
            "/v1/records": {
                "post": _operation("Append the events that records become.", "events", _RECORDS, "text/plain")
            },
            "/v1/features": {
                "get": _operation("Values by name, with age and version.", "features") | {"parameters": _NAMED}
            },
            "/v1/status": {"get": _operation("What every host process holds and routes.", "admin")},
            "/livez": {"get": _operation("Whether the process lives.")},
            "/readyz": {"get": _operation("Whether every deployed algorithm has a version that answers.")},
            "/metrics": {"get": _operation("Prometheus metrics of all host processes.", "admin")},
        },
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key of the setting api_keys, by scope."}
            }
        },
    }


_NAMED: list[dict[str, Any]] = [
    {
        "in": "query",
        "name": "name",
        "required": True,
        "description": "[<algorithm>.] and a feature, <table>.<column> or <aggregate>.<measure>_<window>.",
        "schema": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    },
    {
        "in": "query",
        "name": "keys",
        "description": "Fields that the names need, each as key.<field>=<value>.",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    {
        "in": "query",
        "name": "time",
        "description": "Milliseconds UTC, where the deployment lets callers set it; absent: the host's clock.",
        "schema": {"type": "integer"},
    },
]

_TOKENS: dict[str, Any] = {
    "type": ["array", "null"],
    "maxItems": 256,
    "description": "Tokens of an earlier answer: [layer, experiment, arm, version].",
    "items": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "string"}},
}

_PART = "Which of the `parts` requests this is that the candidates of one trace are divided among: 0 of 1 by default."

_RECORDS: dict[str, Any] = {
    "type": "string",
    "description": "One record a line, as the sources' `record` declares them; ?source=<name> says of which they are.",
}

_EVENTS: dict[str, Any] = {
    "type": "object",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "time", "payload"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string"},
                    "time": {"type": "integer"},
                    "payload": {"type": "object"},
                    "key": {"type": "string"},
                    "seq": {"type": "integer"},
                    "id": {"type": "string"},
                },
            },
        }
    },
}


def _operation(summary: str, scope: str = "", body: dict[str, Any] | None = None, kind: str = JSON) -> dict[str, Any]:
    problem = {"description": "A problem document (RFC 9457).", "content": {"application/problem+json": {}}}
    answers = {"200": {"description": "The answer."}, "4XX": problem, "5XX": problem}
    found: dict[str, Any] = {"summary": summary, "responses": answers}
    if scope:
        found["security"] = [{"key": [scope]}, {}]
    if body is not None:
        found["requestBody"] = {"required": True, "content": {kind: {"schema": body}}}
    return found


def _predict(body: dict[str, Any]) -> dict[str, Any]:
    found = _operation("Ask an algorithm.", "predict", body)
    found["parameters"] = [
        {
            "in": "header",
            "name": "x-deadline-ms",
            "description": f"Milliseconds until an answer is of no use, {MAX_DEADLINE_MS} at most; absent: the lane's.",
            "schema": {"type": "integer", "minimum": 1},
        }
    ]
    told = (
        "Candidates as rows (item_id and the declared fields); the rest is JSON in the schema's metadata, "
        f"'{REQUEST.decode()}' of a request and '{ANSWER.decode()}' of an answer."
    )
    stream = {"schema": {"type": "string", "format": "binary", "description": told}}
    found["requestBody"]["content"][MEDIA_TYPE] = stream
    found["responses"]["200"]["content"] = {JSON: {}, MEDIA_TYPE: stream}
    return found


def _request(name: str, declared: Declaration) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "algorithm": {"const": name},
        "trace": {"type": "string"},
        "attempt": {"type": "integer", "minimum": 1},
        "part": {"type": "integer", "minimum": 0, "maximum": MOST_PARTS - 1, "description": _PART},
        "parts": {"type": "integer", "minimum": 1, "maximum": MOST_PARTS},
        "unit": {"type": "string"},
        "time": {"type": "integer"},
        "tokens": _TOKENS,
        "request": _object(declared.request.fields),
    }
    required = ["algorithm", "request"]
    if declared.request.user:
        properties["user"] = _object(declared.request.user)
        required.append("user")
    if declared.request.items is not None:
        item = _object({"item_id": "string", **declared.request.items.fields})
        properties["items"] = {"type": "array", "minItems": 1, "maxItems": declared.request.items.max, "items": item}
        required.append("items")
    return {
        "title": name,
        "description": declared.description,
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


def _object(fields: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(fields),
        "additionalProperties": False,
        "properties": {name: _SCALARS.get(dtype, _composite(dtype)) for name, dtype in fields.items()},
    }


def _composite(dtype: str) -> dict[str, Any]:
    text = ["string"] if dtype.count("<") == 1 else []
    if dtype.startswith(("list<", "vector<")):
        return {"type": ["array", "null", *text, *(["object"] if text else [])]}
    if dtype.startswith("map<"):
        return {"type": ["object", "null", *text]}
    return {"type": ["number", "null"]}
