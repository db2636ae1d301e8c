"""Values of features by name for `saima feature get`, from the online store of this home."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cli.feature_find import load_all
from cli.feature_rows import moment
from saima.errors import SaimaError
from saima.host.access import OPERATOR
from saima.host.features import FeatureService, Question
from saima.host.loader import Loader
from saima.settings import settings


def ask(names: Sequence[str], keys: Sequence[str], when: str | None) -> dict[str, Any]:
    """The answer as `GET /v1/features` gives it, by the algorithms of the settings' folder, for keys `field=value`.

    Raises SaimaError for a key or a moment that is none, RequestError as FeatureService.answer.
    """
    given: dict[str, str] = {}
    for text in keys:
        field, separator, value = text.partition("=")
        if not separator or field in given:
            raise SaimaError(f"--key {text}: write field=value, each field once")
        given[field] = value
    algorithms = load_all(())
    at = None if when is None else moment(int(when) if when.isdecimal() else when, "--time")
    question = Question(names, given, at, OPERATOR)
    loader = Loader(settings())
    try:
        return FeatureService(loader.online).answer(question, algorithms, time.time_ns() // 1_000_000, algorithms)
    finally:
        loader.close()


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer's documents as rows of a table."""
    return [
        {
            "name": one["name"],
            "value": one["value"],
            "dtype": one["dtype"],
            "age": _age(one["age_ms"]),
            "plan": one["version"]["plan"][:12],
            "rows": ", ".join(f"{table} {_version(row)}" for table, row in one["version"]["rows"].items()),
            "source": ", ".join(one["source"]),
            "degraded": ", ".join(one["degraded"]),
        }
        for one in answer["features"]
    ]


def heading(answer: dict[str, Any]) -> str:
    """When the values hold and what of the log they cover."""
    when = datetime.fromtimestamp(answer["time"] / 1000, UTC)
    covered = ", ".join(f"{partition}:{offset}" for partition, offset in answer["position"].items()) or "nothing"
    return f"as of {when.isoformat(timespec='milliseconds')}, position {covered}"


def _age(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _version(row: list[int | None] | None) -> str:
    return "-" if row is None else "/".join("" if part is None else str(part) for part in row)
