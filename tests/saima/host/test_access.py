"""Keys and scopes: who may ask what, on which address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from saima.errors import RequestError, SaimaError
from saima.host.access import OPERATOR, Caller, caller_of, key_digest, listening, refuse_open
from saima.host.api import app
from saima.settings import ApiKey, Settings
from tests.saima.host.test_api import serving

PATHS = {"predict": ("POST", "/v1/predict"), "events": ("POST", "/v1/events"), "features": ("GET", "/v1/features"),
         "admin": ("GET", "/v1/status")}  # fmt: skip


def keys(**scopes: list[str]) -> dict[str, ApiKey]:
    return {name: ApiKey(key_sha256=key_digest(f"key of {name}"), scopes=found) for name, found in scopes.items()}


def test_callers_by_key_and_address() -> None:
    known = keys(a=["predict"], b=["features:b.*", "admin"])
    assert caller_of(known, "Bearer key of b", "10.0.0.1") == Caller("b", ("features:b.*", "admin"))
    assert caller_of({}, None, "127.0.0.1") == caller_of({}, None, "::1") == OPERATOR
    for authorization in (None, "Bearer key of c", "Basic key of a", "Bearer ", f"Bearer {key_digest('key of a')}"):
        with pytest.raises(RequestError) as error:
            caller_of(known, authorization, "127.0.0.1")
        assert error.value.status == 401
    for address in ("10.0.0.1", "unix", None):
        with pytest.raises(RequestError) as error:
            caller_of({}, "Bearer key of a", address)
        assert error.value.status == 403


def test_every_stored_digest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[str] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or compare(a, b))
    known = keys(a=["predict"], b=["predict"], c=["predict"])
    assert caller_of(known, "Bearer key of a", None).name == "a"
    assert compared == [one.key_sha256 for one in known.values()]


@pytest.mark.parametrize("wrong", ["", "predicts", "features", "features:", "Admin"])
def test_a_scope_that_does_not_exist_is_refused_by_the_settings(wrong: str) -> None:
    with pytest.raises(ValidationError):
        ApiKey(key_sha256="0" * 64, scopes=[wrong])


def test_a_plain_key_is_no_stored_key() -> None:
    with pytest.raises(ValidationError):
        ApiKey(key_sha256="my secret", scopes=["predict"])


Web = Callable[[dict[str, ApiKey]], httpx.Client]


@pytest.fixture
def web(rig: Any) -> Iterator[Web]:
    with ExitStack() as stack:

        def make(known: dict[str, ApiKey]) -> httpx.Client:
            rig.settings = rig.settings.model_copy(update={"api_keys": known})
            rig.first()
            host = rig.host()
            rig.eventually(lambda: host.ready)
            return stack.enter_context(serving(app(host)))

        yield make


@pytest.mark.parametrize("held", list(PATHS))
def test_a_key_opens_its_scope_and_nothing_else(web: Web, held: str) -> None:
    client = web(keys(a=[held if held != "features" else "features:toy.*"]))
    assert client.post("/v1/predict", content=b"{}").status_code == 401
    client.headers["authorization"] = "Bearer key of a"
    for scope, (method, path) in PATHS.items():
        found = client.request(method, path, content=b"{}" if method == "POST" else None)
        assert (found.status_code == 403) == (scope != held), (scope, found.text)
        if scope != held:
            assert f"'{scope}'" in found.json()["detail"]
    assert client.get("/metrics").status_code == (200 if held == "admin" else 403)
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert client.get("/openapi.json").status_code == 200


def test_without_keys_another_address_is_not_bound() -> None:
    refuse_open({}, {"127.0.0.1", "::1"})
    refuse_open(keys(a=["predict"]), {"0.0.0.0"})
    for address in ("0.0.0.0", "::", "10.1.2.3"):
        with pytest.raises(SaimaError, match="api_keys"):
            refuse_open({}, {"127.0.0.1", address})


def test_an_application_that_listens_to_others_does_not_start(rig: Any) -> None:
    started: list[bool] = []

    def make() -> Any:
        host = rig.host()
        host.start = lambda: started.append(True)
        return host

    async def run() -> None:
        made = app(make)
        async with made.router.lifespan_context(made):
            pytest.fail("it started")

    with socket.socket() as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        open_to_all.listen()
        assert "0.0.0.0" in listening()
        import asyncio

        with pytest.raises(SaimaError, match=r"0\.0\.0\.0.*saima key"):
            asyncio.run(run())
    assert not started


def test_keys_come_from_the_settings_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'[api_keys.board]\nkey_sha256 = "{key_digest("k")}"\nscopes = ["predict", "features:toy.*"]\n'
    (tmp_path / "saima.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    found = Settings().api_keys
    assert caller_of(found, "Bearer k", "10.0.0.1").scopes == ("predict", "features:toy.*")
