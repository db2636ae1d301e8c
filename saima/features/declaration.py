"""The grammar of `algorithm.yaml`, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from saima.features.field_type import FieldType
from saima.features.record import Record

Name = str
Dtype = str
"""int64, float32, float64, bool, string, timestamp, decimal(s), list<T>, map<string,T>, vector<T,n>"""


class Strict(BaseModel):
    """Base of every declared thing: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """A topic of standard events: its key, its fields, how late an event may come."""

    description: str = ""
    key: Name = Field(description="Field whose text is the event's key.")
    fields: dict[Name, FieldType]
    lateness: str = "10m"
    freshness: str = "2m"
    idle: str | None = Field(
        "1m",
        exclude=True,
        description="Wall clock without an event after which rules and sessions no longer wait for the source; null: "
        "never. No part of the digest.",
    )
    record: Record | None = Field(
        None, exclude=True, description="How records of a source outside become events; no part of the digest."
    )


class Items(Strict):
    max: int = Field(1000, ge=1, le=100_000)
    fields: dict[Name, FieldType] = {}


class Request(Strict):
    """What a caller sends."""

    fields: dict[Name, FieldType] = {}
    user: dict[Name, FieldType] = {}
    items: Items | None = None


class TableCache(Strict):
    ttl: str = "0s"
    size: int = Field(10_000, ge=1)


class Table(Strict):
    """The newest row of a source for a key, as of request.time."""

    source: Name
    key: Name | list[Name]
    side: Literal["request", "user", "item"] = "request"
    query: Literal["sync", "async", "preload"] = "sync"
    ttl: str | None = None
    valid_from: Name = "time"
    known_at: Name | None = None
    cache: TableCache | None = None


def _plain_zero(value: Any) -> Any:
    """`hop: 0`, which YAML reads as a number, is the duration 0."""
    return "0" if value == 0 and type(value) is int else value


Tier = Literal["eager", "on_read", "batch"]


class Aggregate(Strict):
    """Windows over a source's events by key."""

    source: Name = Field(alias="from")
    key: Name | list[Name]
    value: Name | None = None
    measures: list[str] = Field(min_length=1)
    windows: list[str] = Field(min_length=1)
    hop: Annotated[str, BeforeValidator(_plain_zero)] | None = None
    where: str | None = None
    exact: bool = True
    error: float | None = Field(
        None, gt=0, le=0.5, description="Of approx_distinct (standard error) and quantile_<percent> (relative)."
    )
    k: int = Field(10, ge=1)
    side: Literal["request", "user", "item"] = "request"
    tier: Tier = Field(
        "eager",
        exclude=True,
        description="When it is computed: eager: with every event; on_read: the same, and nobody need read it; batch: "
        "over history alone, and missing online. No part of the digest.",
    )


class Vocabulary(Strict):
    file: str | None = None
    terms: list[str] | None = None


class Resources(Strict):
    buckets: dict[Name, list[float]] = {}
    vocabularies: dict[Name, Vocabulary] = {}


class Feature(Strict):
    """A named expression; `default` replaces a missing final value, without it the value stays null."""

    value: str
    dtype: Dtype
    default: Any = None
    description: str = ""
    max_length: int | None = Field(None, ge=1)


class TensorInput(Strict):
    """A tensor of a model: element type, shape without the rows, and the features that fill it."""

    tensor: Literal["float32", "float64", "int64", "int32", "bool", "string"]
    shape: list[int] = Field(description="Sizes without the rows; -1: as long as the batch's longest list.")
    features: list[Name] | None = Field(
        None, description="Features that fill the tensor, in order; absent: the one of its name."
    )
    ragged: bool = Field(False, description="All rows' values in one, with int64 <name>_row_splits beside them.")
    lengths: bool = Field(False, description="Whether int64 <name>_lengths tells how long each row's list is.")
    pad: float | int | bool | str | None = Field(None, description="Stands beyond the end of a list; absent: 0.")


class Model(Strict):
    """A model: its kind, its inputs by feature name, the name of its output column.

    With `file` it was made elsewhere and is taken as it is: a booster's native file, a frozen graph (.pb), the folder
    of a SavedModel. A `python` model's file is its code.
    """

    kind: Literal["xgboost", "tensorflow", "lightgbm", "python"]
    inputs: list[Name] | dict[Name, list[Name] | TensorInput]
    output: Name
    outputs: dict[Name, str] = Field(
        {}, description="Several outputs by name: the tensor, or the signature's output, that each is."
    )
    objective: Literal["regression", "binary", "rank"] = "regression"
    settings: dict[str, int | float | str | bool | list[int]] = {}
    file: str | None = Field(None, description="File or folder, relative to the algorithm's folder.")
    takes: Literal["tensors", "examples"] = Field(
        "tensors", description="What a SavedModel or frozen graph takes: tensors by name, or serialized tf.Examples."
    )
    signature: str = Field("serving_default", description="Signature of a SavedModel.")
    remote: Name | None = Field(
        None, description="Runs behind the address that the host's setting remote_models gives this name; absent: here."
    )

    @property
    def produced(self) -> tuple[str, ...]:
        """Names of its outputs, the one that stands for it first."""
        return tuple(dict.fromkeys((self.output, *self.outputs)))


class Parameter(Strict):
    """What an experiment's arm may set."""

    dtype: Dtype
    default: Any
    description: str = ""


class Fuse(Strict):
    value: str


class Label(Strict):
    source: Name = Field(alias="from")
    join: list[Literal["trace", "item"]] = ["trace"]
    value: Name | None = None
    scheme: Literal["once", "waited", "fnw", "fnc", "esdfm", "defer", "dfm"] = "once"
    exposure: Name | None = None
    wait: str = "0s"
    attribution: str
    lateness: str = "0s"


class Journal(Strict):
    """Which candidates keep their features: all of them, the returned ones, or those and a weighted sample."""

    items: Literal["all", "returned", "returned_and_sampled"] = "returned_and_sampled"
    sample: float = Field(0.05, ge=0, le=1)
    full: float = Field(0.01, ge=0, le=1, description="Share of requests kept whole, for replay and parity.")


class Retrain(Strict):
    """When a lineage retrains by itself."""

    samples: int = Field(1000, ge=1, description="New samples that trigger.")
    staleness: str | None = Field(
        None, description="Event time between the model's newest label and the newest sample."
    )
    interval: str = Field("10s", description="Least time between two starts.")


class Lineage(Strict):
    """A series of bundles: which models a retrain of it trains; the others ride along from the newest bundle."""

    train: list[Name] = Field(min_length=1)
    retrain: Retrain = Retrain()
    description: str = ""


class Declaration(Strict):
    """An algorithm."""

    algorithm: Name
    description: str = ""
    owner: str = "team:saima"
    use: list[Name] = []
    sources: dict[Name, Source] = {}
    request: Request
    tables: dict[Name, Table] = {}
    aggregates: dict[Name, Aggregate] = {}
    resources: Resources = Resources()
    features: dict[Name, Feature] = Field(min_length=1)
    models: dict[Name, Model] = {}
    parameters: dict[Name, Parameter] = {}
    fuse: Fuse | None = None
    calls: list[Name] = Field([], description="Algorithms that own pre- and postprocessing may ask; no circles.")
    label: Label | None = None
    journal: Journal = Journal()
    lineages: dict[Name, Lineage] = {}
    top_k: int | None = Field(
        None, ge=1, description="How many candidates are returned; absent: all, in the given order."
    )


class Shared(Strict):
    """What `use:` takes in from `algorithms/shared/features/<name>.yaml`; the algorithm's own names must differ."""

    description: str = ""
    sources: dict[Name, Source] = {}
    tables: dict[Name, Table] = {}
    aggregates: dict[Name, Aggregate] = {}
    resources: Resources = Resources()
    features: dict[Name, Feature] = {}
