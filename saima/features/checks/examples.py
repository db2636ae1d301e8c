"""Examples of features: rows and the values worked out by hand, as YAML in the `tests/` folder of what declares them.

examples:
  - meaning: a Saturday evening
    given: {request.time: 2026-11-21T20:00:00Z, dep_origin.mean_1h: 12.5}
    expect: {request_hour: 20, request_is_weekend: 1}
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field, ValidationError

from saima.errors import suggest
from saima.features.checks.trial import frame_of, input_types, same
from saima.features.declaration import Strict
from saima.features.shared import FOLDER
from saima.features.source import Source, read
from saima.features.types import TIMESTAMP, Type, fits, from_frame_value, narrow

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm


class Example(Strict):
    """Inputs by column (what is not given is missing; a timestamp is ISO text or ms) and features' values."""

    meaning: str = ""
    given: dict[str, Any] = Field(default_factory=dict)
    expect: dict[str, Any]
    tolerance: float = 0.0


class Examples(Strict):
    """A file of examples."""

    description: str = ""
    examples: list[Example]


@dataclass(frozen=True)
class Outcome:
    """An expected value and the one that came; `wrong` is empty where they agree."""

    file: str
    line: int
    feature: str
    wrong: str


def run_examples(algorithm: Algorithm) -> list[Outcome]:
    """Every expected value of the algorithm's examples and of the shared features that it uses.

    Each row is evaluated alone and by the reference. Raises DeclarationError with the place of an input or a feature
    that is not there.
    """
    folder = algorithm.directory
    own = sorted((folder / "tests").glob("*.yaml"))
    shared = [folder.parent / FOLDER / "tests" / f"{name}.yaml" for name in algorithm.declaration.use]
    files = [*own, *(file for file in shared if file.is_file())]
    return [outcome for file in files for outcome in _run(algorithm, file)]


def _run(algorithm: Algorithm, file: Path) -> list[Outcome]:
    shown = f"algorithms/{file.parent.parent.name}/tests/{file.name}"
    source = read(file, shown)
    try:
        declared = Examples.model_validate(source.data)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        raise source.error(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", tuple(first["loc"])) from None
    plan = algorithm.plan
    types = input_types(plan)
    found = []
    for number, example in enumerate(declared.examples):
        path = ("examples", number)
        row = {
            name: _given(source, name, value, types, (*path, "given", name)) for name, value in example.given.items()
        }
        values = plan.evaluate(frame_of(types, [row]))
        reference = plan.reference({**dict.fromkeys(types), **row})
        for name, wanted in example.expect.items():
            place = source.error("", (*path, "expect", name), key=True).place
            if name not in plan.features or place is None:
                hint = suggest(name, plan.features)
                raise source.error(f"no feature '{name}'{hint}", (*path, "expect", name), key=True)
            wrong = _judge(plan.features[name], wanted, example.tolerance, _value(values, name, plan.features[name]),
                           reference[name])  # fmt: skip
            found.append(Outcome(shown, place.line, name, wrong))
    return found


def _given(source: Source, name: str, value: Any, types: dict[str, Type], path: tuple[str | int, ...]) -> Any:
    if name not in types:
        raise source.error(f"no input '{name}'{suggest(name, types)}", path, key=True)
    if types[name] == TIMESTAMP and isinstance(value, str | datetime):
        return milliseconds_of(value, source, path)
    if value is not None and not fits(value, types[name]):
        raise source.error(f"'{name}' is {types[name]}, not {value!r}", path)
    return value


def milliseconds_of(value: str | datetime, source: Source, path: tuple[str | int, ...]) -> int:
    """A moment as ms UTC; one without a zone is UTC. DeclarationError for text that is none."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise source.error(f"'{value}' is not a moment such as 2026-11-21T20:00:00Z", path) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _value(values: pl.DataFrame, name: str, dtype: Type) -> Any:
    column = values[name].cast(pl.Int64) if dtype == TIMESTAMP else values[name]
    return from_frame_value(column.to_list()[0], dtype)


def _judge(dtype: Type, wanted: Any, tolerance: float, found: Any, reference: Any) -> str:
    if isinstance(wanted, int | float) and not isinstance(wanted, bool) and dtype.is_float:
        wanted = narrow(float(wanted)) if dtype.name == "float32" else float(wanted)
    close = isinstance(found, float) and isinstance(wanted, float) and abs(found - wanted) <= tolerance
    if not (close or same(found, wanted, True)):
        return f"is {found!r}, not {wanted!r}"
    return "" if same(found, reference, False) else f"is {found!r}, and {reference!r} by the reference"
