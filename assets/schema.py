"""Column schemas and column lineage of tables, from the declaration and the compiled plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from assets import keys
from saima.features.declaration import Declaration, Shared, Source

if TYPE_CHECKING:
    from saima.features import Algorithm

_ENVELOPE = {
    "key": ("string", "Entity that the event belongs to."),
    "type": ("string", "Topic."),
    "time": ("int64", "Event time, ms UTC."),
    "seq": ("int64", "Breaks ties of time."),
    "id": ("string", "Identity, for de-duplication."),
    "appended": ("int64", "Wall clock at which it reached the log, ms UTC."),
    "offset": ("int64", "Offset in the log; 0 for history."),
    "late": ("bool", "Came after its source's lateness; counted, never used."),
    "day": ("string", "UTC day of the event time; partition column."),
}
_SAMPLE = {
    "trace": ("string", "The decision."),
    "item": ("string", "The candidate, empty for the request itself."),
    "time": ("int64", "Moment of the prediction, ms UTC."),
    "label": ("float64", "What happened."),
    "label_time": ("int64", "Event time of the label, ms UTC."),
    "label_offset": ("int64", "Log offset of the label; 0 for history."),
    "label_appended": ("int64", "Wall clock at which the label reached the log, ms UTC."),
    "weight": ("float64", "Weight in the loss."),
    "role": ("string", "Which row of the label's scheme it is; a correction replaces an assumed negative."),
    "version": ("int64", "Publication that answered; null for history."),
    "lineage": ("string", "Lineage that answered."),
    "experiment": ("string", "Experiment of the decision."),
    "arm": ("string", "Arm of the decision."),
    "unit": ("string", "Unit that was split."),
    "score": ("float64", "What was answered."),
    "offset": ("int64", "Log offset of the sample's cause; 0 for history."),
    "day": ("string", "UTC day of the prediction; partition column."),
}

_NODE = {
    "session_id": ("string", "Identity of the session, equal in every replay."),
    "node_id": ("string", "Identity of the node."),
    "parent_id": ("string", "The node exactly one level up."),
    "level": ("string", "session, app, scene, page or behaviour."),
    "key": ("string", "Key of the events."),
    "name": ("string", "What the event calls the node."),
    "entered": ("int64", "ms UTC."),
    "left": ("int64", "ms UTC; a gap ends a session at its last event."),
    "source_id": ("string", "Of a page: the behaviour that caused the jump to it."),
    "cause_id": ("string", "Id of the event that made the node."),
    "kind": ("string", "entered, back or synthesised."),
    "path_hash": ("int64", "Equal for equal names from the app down."),
    "targets": ("list<string>", "Of a page: the page that it led to."),
    "time": ("int64", "Time of the event that let the row out, or of the gap's end, ms UTC."),
}
_MATCH = {
    "rule": ("string", "Id of the rule."),
    "version": ("int64", "Version of the rule that began the match."),
    "key": ("string", "Key by which the rule partitions the events."),
    "kind": ("string", "match, or timeout of a partial match."),
    "time": ("int64", "Time of the event that completed it, or its deadline, ms UTC."),
    "start": ("int64", "Time of its first event, ms UTC."),
    "steps": ("list<string>", "Steps of the accepted events, in order."),
    "ids": ("list<string>", "Ids of the accepted events, in order."),
    "fields": ("string", "What the rule emits, JSON."),
    "offset": ("int64", "Log offset of the event whose watermark let it out."),
}


_TILE = {
    "key": ("string", "Key of the aggregate."),
    "hop": ("int64", "Width of the hop, ms."),
    "start": ("int64", "Start of the hop, ms UTC."),
    "events": ("int64", "Events that it holds."),
    "parts": ("string", "Partials by component, JSON, every bit of them."),
    "table": ("string", "Table of the online store that the stream worker holds them in."),
    "part": ("string", "Partition of the asset."),
}


def of_events(source: Source) -> dg.TableSchema:
    """Schema of an event table: envelope and the source's fields."""
    fields = {name: (dtype, "") for name, dtype in source.fields.items() if name not in _ENVELOPE}
    return _schema({**_ENVELOPE, **fields})


def of_features(declaration: Declaration) -> dg.TableSchema:
    """Schema of a table of features."""
    item = [] if declaration.request.items is None else ["item"]
    return _schema({name: _SAMPLE[name] for name in ("trace", *item, "time", "day")} | _features(declaration))


def of_shared(declared: Shared) -> dg.TableSchema:
    """Schema of features that several algorithms share."""
    return _schema(_features(declared))


def of_samples(declaration: Declaration) -> dg.TableSchema:
    """Schema of the samples."""
    outputs = {
        f"out.{name}.{output}": ("float64", f"What {name} said.")
        for name, model in declaration.models.items()
        for output in model.produced
    }
    return _schema({**_SAMPLE, **outputs, **_features(declaration)})


def of_journal() -> dg.TableSchema:
    """Schema of the journal's table."""
    return _schema(
        {name: _SAMPLE[name] for name in ("trace", "time")}
        | {"offset": _ENVELOPE["offset"], "record": ("string", "The prediction's record, JSON."), "day": _SAMPLE["day"]}
    )


def of_matches() -> dg.TableSchema:
    """Schema of what rules have matched."""
    return _schema(_MATCH | {name: _ENVELOPE[name] for name in ("day",)})


def of_tiles() -> dg.TableSchema:
    """Schema of the tiles of an aggregate."""
    return _schema(_TILE | {"day": ("string", "UTC day of the hop's start; partition column.")})


def of_nodes() -> dg.TableSchema:
    """Schema of the nodes of sessions."""
    return _schema(_NODE | {name: _ENVELOPE[name] for name in ("offset", "day")})


def feature_lineage(algorithm: Algorithm, requests: str) -> dg.TableColumnLineage:
    """Which event columns each feature is computed from; `requests` is the topic of the requests."""
    return dg.TableColumnLineage(
        {
            feature: sorted({dep for column in columns for dep in _origins(algorithm.declaration, column, requests)})
            for feature, columns in algorithm.plan.lineage.items()
        }
    )


def same_columns(upstream: dg.AssetKey, columns: Iterable[str]) -> Mapping[str, list[dg.TableColumnDep]]:
    """Columns taken over unchanged."""
    return {column: [dg.TableColumnDep(asset_key=upstream, column_name=column)] for column in columns}


def _origins(declaration: Declaration, column: str, requests: str) -> list[dg.TableColumnDep]:
    """The event columns behind an input column such as `request.origin`, `weather.temp`, `dep_origin.mean_1h`."""
    owner, _, name = column.partition(".")
    if owner in declaration.tables:
        table = declaration.tables[owner]
        names = [{"valid_from": table.valid_from, "known_at": table.known_at or "time"}.get(name, name)]
        names += [table.key] if isinstance(table.key, str) else table.key
        topic = table.source
    elif owner in declaration.aggregates:
        aggregate = declaration.aggregates[owner]
        names = ["time", *([aggregate.value] if aggregate.value and not name.startswith("count") else [])]
        names += [aggregate.key] if isinstance(aggregate.key, str) else aggregate.key
        topic = aggregate.source
    elif owner == "item":
        names, topic = [name], _item_topic(declaration, name) or requests
    else:
        names, topic = [name], requests
    asset = keys.history(declaration.algorithm, topic)
    return [dg.TableColumnDep(asset_key=asset, column_name=each) for each in dict.fromkeys(names)]


def _item_topic(declaration: Declaration, field: str) -> str | None:
    """The topic that brings a field of a recorded candidate: the exposures, else the first source that has it."""
    label = declaration.label
    order = [label.exposure] if label is not None and label.exposure else []
    return next((topic for topic in [*order, *declaration.sources] if field in declaration.sources[topic].fields), None)


def _features(declaration: Declaration | Shared) -> dict[str, tuple[str, str]]:
    return {name: (feature.dtype, feature.description) for name, feature in declaration.features.items()}


def _schema(columns: Mapping[str, tuple[str, str]]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=dtype, description=description or None)
            for name, (dtype, description) in columns.items()
        ]
    )
