"""One bundle a lineage: its models and everything around them, built as a Bento, held against its golden requests."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets import keys, retrains
from assets.champions import champion, holder
from assets.evaluations import experiments, training_of, used_models
from assets.models.training import Training
from assets.recordings import DAY, Recording
from assets.stores import Stores
from saima.errors import SaimaError
from saima.features import Algorithm
from saima.features.encodings import encoded
from saima.features.types import Type
from saima.host.manifest import GOLDEN_INPUTS
from saima.learning.increments import DataState
from saima.recordings import with_candidates
from saima.stores.interfaces import BundleRow

_GOLDEN_ROWS, _GOLDEN_RANKINGS = 8, 2


def bundle(algorithm: Algorithm, lineage: str, recording: Recording) -> dg.AssetsDefinition:
    """Asset that builds and publishes a version; it is skipped where the evaluation has rejected the candidate."""
    name, declaration = algorithm.name, algorithm.declaration
    asset = keys.key(name, f"bundle_{lineage}")

    def build(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[dg.MaterializeResult[None]]:
        registry = stores.registry
        training = training_of(registry, name, lineage, declaration, stores.training(name, context.run.run_id))
        if not training.document(f"evaluation_{lineage}")["passed"]:
            context.log.info("the evaluation has rejected this candidate: nothing is bundled")
            return
        retrains.begin(context, registry, declaration, [lineage])
        begun = time.monotonic()
        row = publish(algorithm, lineage, recording, training, stores)
        training.write(f"bundle_{lineage}", {"publication": row.publication})
        yield dg.MaterializeResult(
            metadata={
                "publication": row.publication,
                "tag": row.tag,
                "digest": row.digest,
                "serve": dg.MetadataValue.md(f"`bentoml serve {row.tag}`"),
                "path": dg.MetadataValue.path(row.path),
                "models": {model: entry["tag"] for model, entry in row.manifest["models"].items()},
                "label_epoch": dg.MetadataValue.timestamp(row.manifest["label_epoch"] / 1000),
                "data_position": row.manifest["data_position"],
                "seconds": round(time.monotonic() - begun, 2),
            },
            data_version=dg.DataVersion(row.digest[:16]),
        )

    return dg.asset(
        key=asset,
        deps=[
            keys.key(name, f"evaluation_{lineage}"),
            *(keys.key(name, model) for model in used_models(algorithm, lineage)),
        ],
        **keys.common(declaration, keys.SERVING),
        kinds={"bentoml"},
        description=f"An immutable version of lineage {lineage}: declaration, plan, models and code in one Bento, with "
        "golden requests that every host answers again before it routes.",
        pool=keys.pool(name, lineage),
        output_required=False,
    )(build)


def publish(algorithm: Algorithm, lineage: str, recording: Recording, training: Training, stores: Stores) -> BundleRow:
    """Build the lineage's bundle from a training and publish it."""
    from serving.bundles import TrainedModel, build

    registry = stores.registry
    models = {}
    for model in used_models(algorithm, lineage):
        if training.trained(model):
            facts = training.document(model)
            models[model] = TrainedModel(facts["kind"], training.model(model), facts)
        else:
            found = holder(registry, algorithm.name, model)
            if found is None:
                raise SaimaError(f"no bundle of {algorithm.name} holds model '{model}', and this run does not train it")
            entry = found.manifest.models[model]
            models[model] = TrainedModel(entry.kind, found.directory(model), entry.facts)
    trained = [training.document(model) for model in algorithm.declaration.lineages[lineage].train]
    state = max((DataState.from_json(facts["state"]) for facts in trained), key=lambda state: state.label_epoch)
    golden = golden_inputs(algorithm, lineage, recording, stores)
    arms = [arm for each in experiments(algorithm) for arm in each.arms.values() if arm.lineage in (None, lineage)]
    return build(
        algorithm,
        lineage,
        models,
        state,
        registry,
        trained_at=training.started,
        golden=golden,
        parameters=[{}, *(arm.parameters for arm in arms if arm.parameters)],
        warm_up=warm_up(golden, algorithm.plan.request_fields),
        evaluation=training.document(f"evaluation_{lineage}"),
        settings=stores.settings,
    )


def golden_inputs(algorithm: Algorithm, lineage: str, recording: Recording, stores: Stores) -> pl.DataFrame:
    """Recorded reads to answer again: those of the routed bundle, or of history's last requests for the first one.

    A ranking's request is one row a candidate.
    """
    reigning = champion(stores.registry, algorithm.name, lineage)
    if reigning is not None and reigning.manifest.plan_hash == algorithm.plan.hash:
        return pl.read_ipc((reigning.root / GOLDEN_INPUTS).read_bytes())
    from assets.features.history import lookback
    from saima.features.backfill import backfill

    declaration = algorithm.declaration
    since = recording.end - (lookback(declaration) + 1) * DAY
    events = {
        topic: stores.tables.scan(f"events/{topic}").filter(
            pl.col("time").is_between(since, recording.end, closed="left")
        )
        for topic in declaration.sources
    }
    wanted = _GOLDEN_ROWS if declaration.request.items is None else _GOLDEN_RANKINGS
    last = events[recording.requests].sort("time", "seq").tail(wanted)
    candidates = recording.load(stores.settings.datasets).candidates
    columns = list(algorithm.plan.input_schema())
    requests = with_candidates(declaration, last, candidates)
    return backfill(algorithm, requests, events, inputs=True).select(columns).collect()


def warm_up(golden: pl.DataFrame, fields: Mapping[str, Type]) -> list[dict[str, Any]]:
    """Bodies of the first two requests made of golden rows: request, user, items and the moment, timestamps in ms.

    fields: types of the request's fields by column, as the plan has them.
    """
    asked = golden.select(pl.col(r"^(request|user|item)\..*$")).with_columns(pl.selectors.datetime().dt.epoch("ms"))
    ranks = any(name.startswith("item.") for name in asked.columns)
    moments = asked.partition_by("request.time", maintain_order=True) if ranks else asked.iter_slices(1)
    bodies = []
    for rows in list(moments)[:2]:
        body: dict[str, Any] = {"time": rows["request.time"][0], "request": _side(rows, "request", fields)[0]}
        if user := _side(rows, "user", fields)[0]:
            body["user"] = user
        if ranks:
            body["items"] = _side(rows, "item", fields)
        bodies.append(body)
    return bodies


def _side(rows: pl.DataFrame, side: str, fields: Mapping[str, Type]) -> list[dict[str, Any]]:
    """One side's fields of each row by their own names, as JSON brings them; empty where there is none."""
    names = [name for name in rows.columns if name.startswith(f"{side}.") and name in fields]
    return [
        {name.removeprefix(f"{side}."): encoded(row[name], fields[name]) for name in names}
        for row in rows.iter_rows(named=True)
    ]
