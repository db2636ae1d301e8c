"""An algorithm's recorded events: `algorithms/<name>/sources.py`, which assets, tests and the replayer read."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import polars as pl

from saima.errors import DeclarationError, Place, SaimaError
from saima.events import Topic, arrow_type
from saima.features.declaration import Declaration
from saima.features.encodings import decoded_rows
from saima.features.origins import read_declaration

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm
    from saima.stores.interfaces import Tables


@dataclass(frozen=True)
class Recording:
    """A `sources.py` on a folder of datasets; nothing is read before it is asked for.

    It defines `recorded_events(datasets)`, `HISTORY_START` and `HISTORY_END`; where requests have candidates, also
    `candidates(datasets)`; and, if it likes, `BASELINE`, features whose groups' means are a naive baseline.
    """

    module: ModuleType
    datasets: Path
    folder: Path

    @property
    def history_start(self) -> int:
        """Before the first event, ms UTC."""
        return int(self.module.HISTORY_START)

    @property
    def history_end(self) -> int:
        """Batch owns the events before it, the stream those from it on; ms UTC."""
        return int(self.module.HISTORY_END)

    @property
    def baseline(self) -> tuple[str, ...]:
        """Features whose groups' means are a naive baseline."""
        return tuple(getattr(self.module, "BASELINE", ()))

    @cached_property
    def events(self) -> dict[str, pl.LazyFrame]:
        """Events by topic: key, type, time (int64 ms UTC), seq, id and the topic's fields, in the form of frames.

        Raises SaimaError naming the dataset that is missing.
        """
        try:
            found: dict[str, pl.LazyFrame] = self.module.recorded_events(self.datasets)
        except FileNotFoundError as error:
            raise SaimaError(str(error)) from error
        declared, _ = read_declaration(
            self.folder / "algorithm.yaml",
            self.folder.parent / "shared",
            f"algorithms/{self.folder.name}/algorithm.yaml",
        )
        sources = declared.sources
        return {
            topic: decoded_rows(rows, sources[topic].fields) if topic in sources else rows
            for topic, rows in found.items()
        }

    @cached_property
    def candidates(self) -> pl.LazyFrame | None:
        """What a request ranks: the fields of an item, and fields of the request, which choose its items.

        None where the module has no `candidates`. Raises SaimaError naming the dataset that is missing.
        """
        if not hasattr(self.module, "candidates"):
            return None
        try:
            found: pl.LazyFrame = self.module.candidates(self.datasets)
        except FileNotFoundError as error:
            raise SaimaError(str(error)) from error
        return found


def load_recording(folder: Path, datasets: Path) -> Recording:
    """The recording of an algorithm's folder.

    Raises SaimaError where there is no `sources.py`, DeclarationError naming what it does not define.
    """
    path = folder / "sources.py"
    if not path.exists():
        raise SaimaError(
            f"{path} is missing: an algorithm with recorded events has recorded_events() and HISTORY_END there"
        )
    module = load_private(path, f"saima_recording_{folder.name}")
    missing = [name for name in ("recorded_events", "HISTORY_START", "HISTORY_END") if not hasattr(module, name)]
    if missing:
        raise DeclarationError(f"{', '.join(missing)} must be defined here", Place(str(path), 1, 1))
    return Recording(module, Path(datasets), folder)


def load_private(path: Path, name: str) -> ModuleType:
    """Import a file under a name of its own, outside `sys.modules`."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SaimaError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def topics(declaration: Declaration) -> dict[str, Topic]:
    """The topics of a declaration's sources, with the Arrow types of their fields."""
    return {
        name: Topic(name, {field: arrow_type(dtype) for field, dtype in source.fields.items()})
        for name, source in declaration.sources.items()
    }


def request_topic(declaration: Declaration) -> str:
    """The one source whose events hold every field of request and user: each is a request, its key the trace.

    Raises DeclarationError where there is none, or more than one.
    """
    needed = {*declaration.request.fields, *declaration.request.user}
    found = [topic for topic, source in declaration.sources.items() if needed <= set(source.fields)]
    if len(found) != 1:
        raise DeclarationError(
            f"algorithm '{declaration.algorithm}': exactly one source must hold all fields of a request "
            f"({', '.join(sorted(needed))}), so that recorded events can be asked again; these do: "
            f"{', '.join(found) or 'none'}"
        )
    return found[0]


def event_tables(algorithm: Algorithm, tables: Tables) -> dict[str, pl.LazyFrame]:
    """The event tables of an algorithm's sources, by topic; SaimaError where there are none at all."""
    topics = [topic for topic in algorithm.declaration.sources if tables.exists(f"events/{topic}")]
    if not topics:
        raise SaimaError(
            f"there are no event tables of '{algorithm.name}' under SAIMA_HOME; `saima up` or `saima demo` makes them"
        )
    return {topic: tables.scan(f"events/{topic}") for topic in topics}


def recorded_requests(algorithm: Algorithm, events: Mapping[str, pl.LazyFrame], datasets: Path) -> pl.LazyFrame:
    """Accepted events of the request's topic with `trace` and, where the algorithm ranks, a row for each candidate.

    Raises DeclarationError where no source holds the whole request, SaimaError where its table has not been written.
    """
    declaration = algorithm.declaration
    topic = request_topic(declaration)
    if topic not in events:
        raise SaimaError(f"there is no table 'events/{topic}', which holds the requests; give a request log by --rows")
    asked = events[topic].filter(~pl.col("late")).with_columns(trace=pl.col("key"))
    if declaration.request.items is None:
        return with_candidates(declaration, asked, None, "trace")
    candidates = load_recording(algorithm.directory, datasets).candidates
    return with_candidates(declaration, asked, candidates, "trace").with_columns(item=pl.col("item.item_id"))


def with_candidates(
    declaration: Declaration, requests: pl.LazyFrame, candidates: pl.LazyFrame | None, *others: str
) -> pl.LazyFrame:
    """Requests in the columns that `backfill` reads, `request.x`, `user.x`, `item.x`, with `time` and `others`.

    requests: events of the request's topic. With candidates a request is one row for each of its own, in their order.
    Raises SaimaError where the algorithm ranks and there are no candidates.
    """
    request = declaration.request
    sides = {"request": request.fields, "user": request.user}
    fields = [pl.col(name).alias(f"{side}.{name}") for side, names in sides.items() for name in names]
    rows = requests.select("time", *others, *fields)
    if request.items is None:
        return rows
    if candidates is None:
        raise SaimaError(f"algorithms/{declaration.algorithm}/sources.py: candidates(datasets) is missing")
    fields_of_item = dict.fromkeys(["item_id", *request.items.fields])
    own = [name for name in candidates.collect_schema().names() if name not in fields_of_item]
    places = {name: f"{side}.{name}" for side, names in sides.items() for name in names if name in own}
    items = candidates.select(
        *(pl.col(name).alias(column) for name, column in places.items()),
        *(pl.col(name).alias(f"item.{name}") for name in fields_of_item),
    )
    if not places:  # a cross join would keep no order
        both = [each.with_columns(_all=pl.lit(0)) for each in (rows, items)]
        return both[0].join(both[1], on="_all", maintain_order="left_right").drop("_all")
    return rows.join(items, on=list(places.values()), maintain_order="left_right")
