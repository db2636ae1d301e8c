"""How a body reaches a host and its answer comes back: over HTTP, as JSON or Arrow, or in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

ARROW = "application/vnd.apache.arrow.stream"
_REQUEST, _ANSWER = b"saima.request", b"saima.answer"


class Unreachable(Exception):
    """Nothing answered: the connection was refused, reset or broken, or the time is over."""


@dataclass(frozen=True)
class Reply:
    """A status and its document: an answer for 200, else a problem."""

    status: int
    document: dict[str, Any]


class Transport(Protocol):
    """A way to one cluster; used by several threads."""

    def ask(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """The reply to a body, within so many seconds. Raises Unreachable."""
        ...

    def close(self) -> None: ...


class Http:
    """A host at an address. arrow: send items as an Arrow stream, which needs pyarrow; key: sent as a bearer key."""

    def __init__(self, url: str, connections: int = 100, key: str | None = None, arrow: bool = False) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        self._http = httpx.Client(base_url=url, limits=limits, headers=headers, trust_env=False)
        self._arrow = arrow
        if arrow:
            import pyarrow  # noqa: F401 - says at once that it is missing

    def ask(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """See Transport."""
        packed = self._arrow and body.get("items") is not None
        headers = {"content-type": ARROW if packed else "application/json", "accept": ARROW if packed else "*/*"}
        headers["x-deadline-ms"] = str(max(1, int(seconds * 1000)))
        content = packed_request(body) if packed else json.dumps(body).encode()
        try:
            answer = self._http.post("/v1/predict", content=content, headers=headers, timeout=seconds)
        except httpx.TransportError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if answer.headers.get("content-type", "").startswith(ARROW):
            return Reply(answer.status_code, unpacked_answer(answer.content))
        return Reply(answer.status_code, _document(answer))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class Embedded:
    """A host in this process: anything whose `predict(body, seconds)` answers as `saima.host.host.Host` does."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def ask(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """See Transport."""
        try:
            return Reply(200, self._host.predict(dict(body), seconds))
        except Exception as error:
            status = getattr(error, "status", None)
            if status is None:
                raise
            detail = str(getattr(error, "message", error))
            problem = {"status": status, "detail": detail, "field": getattr(error, "field", "")}
            return Reply(status, problem)

    def close(self) -> None:
        """The host is the caller's own."""


def packed_request(body: Mapping[str, Any]) -> bytes:
    """A body as an Arrow stream: its items are the rows of one batch, the rest is JSON in the schema's metadata."""
    import pyarrow as pa

    rest = {name: value for name, value in body.items() if name != "items"}
    batch = pa.RecordBatch.from_pylist(body["items"]).replace_schema_metadata({_REQUEST: json.dumps(rest).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def unpacked_answer(content: bytes) -> dict[str, Any]:
    """The answer of a stream, as JSON would have brought it."""
    import pyarrow as pa

    with pa.ipc.open_stream(content) as reader:
        table = reader.read_all()
    answer: dict[str, Any] = json.loads(table.schema.metadata[_ANSWER])
    if "item_id" in table.column_names:
        answer["items"] = table.column("item_id").to_pylist()
    answer["scores"] = table.column("score").to_pylist()
    return answer


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {"detail": answer.text[:200]}
    return document if isinstance(document, dict) else {"detail": str(document)[:200]}
