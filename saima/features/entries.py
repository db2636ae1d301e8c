"""What there is to know of each feature of a set of algorithms: definition, side, lineage, readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from saima.errors import Place
from saima.features.algorithm import Algorithm
from saima.features.nodes import Call, Column, Node, show, walk
from saima.features.origins import read_declaration
from saima.features.plan import Computed
from saima.features.shared import FOLDER

Lineage = tuple[str, str]
"""An input column, and what it is: a field, or a column of a table or a window by its key."""


@dataclass(frozen=True)
class Entry:
    """A feature as declared and as compiled; a shared one stands once, with every algorithm that uses it.

    side: `user` and `request` are one row a request, `item` one a candidate that can be kept, `cross` one a candidate
    and request. stage: number of the plan's select that computes it. features, models: what names it, a model's tensor
    as `model.tensor`.
    """

    name: str
    algorithms: tuple[str, ...]
    dtype: str
    side: str
    stage: int
    value: str
    default: object
    description: str
    place: Place | None
    shared: str
    compiled: str
    lineage: tuple[Lineage, ...]
    features: tuple[str, ...]
    models: tuple[str, ...]
    exact: bool

    @property
    def full_name(self) -> str:
        """`<algorithm>.<feature>`, of a shared one `shared/<file>.<feature>`."""
        return f"{f'{FOLDER}/{self.shared}' if self.shared else self.algorithms[0]}.{self.name}"


def entries(algorithms: Iterable[Algorithm]) -> list[Entry]:
    """Features of algorithms, by algorithm and in declared order; those that several share come first, once."""
    own: list[Entry] = []
    shared: dict[tuple[str, str], list[Entry]] = {}
    for algorithm in algorithms:
        for entry in _of(algorithm):
            if entry.shared:
                shared.setdefault((entry.shared, entry.name), []).append(entry)
            else:
                own.append(entry)
    return [*(_merged(readers) for readers in shared.values()), *own]


def _merged(readers: Sequence[Entry]) -> Entry:
    first = readers[0]
    return Entry(
        **{
            **first.__dict__,
            "algorithms": tuple(name for entry in readers for name in entry.algorithms),
            "features": tuple(dict.fromkeys(name for entry in readers for name in entry.features)),
            "models": tuple(name for entry in readers for name in entry.models),
        }
    )


def _of(algorithm: Algorithm) -> list[Entry]:
    declaration, plan = algorithm.declaration, algorithm.plan
    file = algorithm.directory / "algorithm.yaml"
    shown = f"algorithms/{algorithm.name}/algorithm.yaml"
    origins = read_declaration(file, algorithm.directory.parent / FOLDER, shown)[1]
    stages = {name: number for number, stage in enumerate(plan.stages) for name in stage.names}
    computed = {feature.name: feature for feature in plan.computed}
    found = []
    for name, feature in declaration.features.items():
        source = origins.shared.get(("features", name))
        found.append(
            Entry(
                name=name,
                algorithms=(algorithm.name,),
                dtype=str(plan.features[name]),
                side=side_of(computed[name], plan.lineage[name]),
                stage=stages[name],
                value=feature.value,
                default=feature.default,
                description=feature.description,
                place=origins.error("", ("features", name), key=True).place,
                shared=Path(source.file).stem if source else "",
                compiled=show(computed[name].node),
                lineage=tuple((column, _origin(algorithm, column)) for column in plan.lineage[name]),
                features=tuple(other for other, each in computed.items() if name in named(each.node)),
                models=tuple(_models(algorithm, name)),
                exact=all(is_exact(computed[each].node) for each in closure(computed, [name])),
            )
        )
    return found


def side_of(feature: Computed, lineage: Sequence[str]) -> str:
    """Side of a feature as people speak of it: one that reads only the user's fields is the user's."""
    if feature.node.side == "request" and lineage and all(column.startswith("user.") for column in lineage):
        return "user"
    return feature.node.side


def named(node: Node) -> list[str]:
    """Features that a node names."""
    return [each.name for each in walk(node) if isinstance(each, Column) and each.feature]


def closure(computed: dict[str, Computed], names: Iterable[str]) -> list[str]:
    """The features and all that they name, however far down."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += named(computed[name].node)
    return list(found)


def is_exact(node: Node) -> bool:
    """Whether every path gives a node the same bits, the reference too."""
    return all(each.operator.exact for each in walk(node) if isinstance(each, Call))


def _models(algorithm: Algorithm, feature: str) -> Iterable[str]:
    for name, model in algorithm.declaration.models.items():
        inputs = model.inputs
        if not isinstance(inputs, dict):
            if feature in inputs:
                yield name
            continue
        for tensor, given in inputs.items():
            members = given if isinstance(given, list) else getattr(given, "features", None) or [tensor]
            if feature in members:
                yield f"{name}.{tensor}"


def _origin(algorithm: Algorithm, column: str) -> str:
    """What an input column is, in words."""
    owner, _, name = column.partition(".")
    plan = algorithm.plan
    if owner in plan.tables:
        table = plan.tables[owner]
        lasts = f", ttl {table.table.ttl}" if table.table.ttl else ""
        return f"newest {table.table.source}.{name} by {', '.join(table.keys)} ({table.table.query}{lasts})"
    if owner in plan.aggregates:
        read = plan.aggregates[owner]
        declared = read.aggregate
        value = f"{declared.source}.{declared.value}" if declared.value else declared.source
        where = f" where {declared.where}" if declared.where else ""
        return f"{name} of {value} by {', '.join(read.keys)}{where}"
    return "the moment of the request" if column == "request.time" else f"field of the {owner}"
