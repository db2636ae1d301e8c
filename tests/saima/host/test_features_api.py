"""`GET /v1/features` of a host over a real online store: answers, problem documents, grants by key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from saima.features.extractor import Extractor
from saima.host.api import app
from saima.host.lease import Loaded
from saima.host.request import Checker
from saima.routing.deployment import configure, refresh
from saima.settings import ApiKey
from saima.stores import open_online
from tests.saima.host.conftest import PATIENT
from tests.saima.host.features import NOW, fill, write_shop
from tests.saima.host.test_api import serving

ASK = [("name", "views.mean_1h"), ("name", "best"), ("key.item_id", "hat")]

Web = Callable[..., httpx.Client]


@pytest.fixture
def web(rig: Any) -> Iterator[Web]:
    """Makes a client of a host that serves the shop."""
    shop = write_shop(rig.settings.algorithms)
    store = open_online(0, rig.settings, writer=True)
    fill(store, shop)
    declared = shop.declaration
    bundle: Any = SimpleNamespace(algorithm=shop, close=lambda: None)

    def load() -> Loaded:
        return Loaded(bundle, Extractor(shop, store), Checker(declared.request), {}, declared.journal, None, None)

    with ExitStack() as stack:

        def make(grants: dict[str, ApiKey] | None = None, timed: bool = True) -> httpx.Client:
            rig.settings = rig.settings.model_copy(update={"api_keys": grants or {}})
            publication = rig.registry.publish("shop", "main", "digest", "shop:1", "nowhere", {})
            rig.loads[publication] = load
            rig.deploy(refresh("shop", "main", publication), configure("shop", allow_request_time=timed, **PATIENT))
            host = rig.host(clock=lambda: NOW)
            rig.eventually(lambda: host.ready)
            return stack.enter_context(serving(app(host)))

        yield make
    store.close()


def test_values_by_name(web: Web) -> None:
    client = web()
    found = client.get("/v1/features", params=ASK)
    assert found.status_code == 200, found.text
    answer = found.json()
    assert (answer["time"], answer["position"]) == (NOW, {"0": 5})
    assert [(one["name"], one["value"], one["age_ms"]) for one in answer["features"]] == [
        ("shop.views.mean_1h", 9.5, 600_000),
        ("shop.best", 0.5, 300_000),
    ]
    assert client.get("/v1/features", params=[*ASK, ("time", NOW - 3_000_000)]).json()["features"][0]["value"] == 5.0
    declared = client.get("/openapi.json").json()["paths"]["/v1/features"]["get"]["parameters"]
    assert [parameter["name"] for parameter in declared] == ["name", "keys", "time"]


@pytest.mark.parametrize(
    ("query", "status", "field", "detail"),
    [
        ([("name", "bset"), ("key.item_id", "hat")], 404, "name", "did you mean 'best'"),
        ([("name", "best")], 422, "key.item_id", "'best' needs it"),
        ([*ASK, ("key.item_id", "shoe")], 422, "key.item_id", "given twice"),
        ([*ASK, ("item_id", "hat")], 422, "item_id", "unknown parameter"),
        ([*ASK, ("time", str(NOW))], 422, "time", "does not let a caller set the time"),
        ([], 422, "name", "ask for 1 to"),
    ],
)
def test_a_bad_question_gets_a_problem_document(
    web: Web, query: list[tuple[str, str]], status: int, field: str, detail: str
) -> None:
    found = web(timed=False).get("/v1/features", params=query)
    assert found.headers["content-type"] == "application/problem+json"
    assert (found.status_code, found.json()["field"]) == (status, field)
    assert detail in found.json()["detail"]


def test_a_key_opens_what_it_is_granted(web: Web) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    client = web({"board": ApiKey(key_sha256=digest, scopes=["features:shop.views.*"])})
    refused = client.get("/v1/features", params=ASK)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    client.headers["authorization"] = "Bearer secret"
    assert client.get("/v1/features", params=ASK).status_code == 404
    found = client.get("/v1/features", params=[("name", "views.mean_1h"), ("key.item_id", "hat")])
    assert found.json()["features"][0]["value"] == 9.5


def test_before_a_version_routes_nothing_is_answered(rig: Any) -> None:
    with serving(app(rig.host())) as client:
        found = client.get("/v1/features", params=ASK)
    assert (found.status_code, found.json()["detail"]) == (503, "nothing is deployed yet; ask again")


def test_what_is_read_is_told_to_the_registry(web: Web, rig: Any) -> None:
    client = web()
    assert rig.registry.facts("read/") == {}
    tiles = client.get("/v1/features", params=ASK).json()["features"][0]["version"]["tiles"]
    rig.eventually(lambda: rig.registry.facts("read/"))
    assert rig.registry.facts("read/") == {f"read/{table}": {"at": NOW} for table in tiles["views"]}
