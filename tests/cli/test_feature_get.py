"""`saima feature get` over a real online store: a table, JSON, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import saima
from saima.errors import SaimaError
from saima.settings import settings
from saima.stores import open_online
from tests.saima.host.features import NOW, fill, write_shop


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    settings.cache_clear()
    algorithm = write_shop(tmp_path / "algorithms")
    store = open_online(0, settings(), writer=True)
    fill(store, algorithm)
    store.close()
    yield
    settings.cache_clear()


def get(*arguments: str) -> Result:
    return CliRunner().invoke(saima, ["feature", "get", *arguments])


def test_a_table() -> None:
    ran = get("price.price", "views.mean_1h", "--key", "item_id=hat", "--time", "2013-04-01T00:00:00Z")
    assert ran.exit_code == 0, ran.output
    heading, columns, price, mean = (line.split() for line in ran.output.splitlines())
    assert " ".join(heading) == "as of 2013-04-01T00:00:00.000+00:00, position 0:5"
    assert columns == ["name", "value", "dtype", "age", "plan", "rows", "source", "degraded"]
    assert price[:5] == ["shop.price.price", "4.25", "decimal(2)", "300.0", "s"]
    assert price[6:] == ["price", f"{NOW - 300_000}//4", "priced"]
    assert mean[:5] == ["shop.views.mean_1h", "9.5", "float64", "600.0", "s"]


def test_json_and_the_time_of_now() -> None:
    answer = json.loads(get("price.label", "views.count_1h", "--key", "item_id=hat", "--json").output)
    price, count = answer["features"]
    assert (price["value"], price["age_ms"]) == ("red", answer["time"] - NOW + 300_000)
    assert (count["value"], count["age_ms"]) == (0, None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["popularty"], "did you mean 'popularity'"),
        (["popularity"], "key.item_id: is missing"),
        (["popularity", "--key", "item_id"], "write field=value"),
        (["popularity", "--key", "item_id=a", "--time", "noon"], "--time is 'noon'"),
    ],
)
def test_what_is_refused(arguments: list[str], text: str) -> None:
    ran = get(*arguments)
    assert isinstance(ran.exception, SaimaError)
    assert text in str(ran.exception)
