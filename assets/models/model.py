"""One asset a model: reads the samples, predicts the newest before learning them, and saves what it has learned."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets import gates, keys, plots, retrains
from assets.champions import Champion, champion
from assets.models.config import TrainingConfig, config_of
from assets.models.training import Training
from assets.samples import NAME as SAMPLES
from assets.stores import Stores
from saima.features import Algorithm
from saima.learning.evaluation import measure
from saima.learning.increments import data_state, with_replay
from saima.learning.labels import WEIGHTED
from saima.learning.model import outputs
from saima.learning.outcomes import settled, weighted
from saima.learning.trainers import Model, ModelSpec, spec_of, trainer
from saima.learning.trainers.lightgbm import LightGBMModel
from saima.learning.trainers.xgboost import XGBoostModel


def model(algorithm: Algorithm, name: str) -> dg.AssetsDefinition:
    """Asset that trains one declared model; a retrain of a lineage trains those that the lineage names."""
    declared = algorithm.declaration.models[name]
    lineages = [lineage for lineage, each in algorithm.declaration.lineages.items() if name in each.train]
    asset = keys.key(algorithm.name, name)
    table = f"{algorithm.name}/{SAMPLES}"

    def train(
        context: dg.AssetExecutionContext, config: TrainingConfig, stores: Stores
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        registry, tables = stores.registry, stores.tables
        begun = retrains.begin(context, registry, algorithm.declaration)
        mine = [each.lineage for each in begun] or lineages
        champions = [found for lineage in mine if (found := champion(registry, algorithm.name, lineage))]
        training = Training.prepare(
            stores.training(algorithm.name, context.run.run_id),
            tables,
            table,
            config.hold_out,
            time.time_ns() // 1_000_000,
            champions,
        )
        spec = spec_of(algorithm.declaration, name, config.seed, config.settings(), algorithm.directory)
        samples = training.read(tables, spec.features)
        yield from gates.results(algorithm, asset, table, samples, whole=False)
        result = learn(training, samples, spec, config, champions, _scheme(algorithm))
        for lineage in mine:
            registry.put_fact(f"training/{algorithm.name}/{lineage}/{name}", {"folder": str(training.folder)})
        yield dg.MaterializeResult(metadata={**result.shown, **_plots(result, spec)})

    train.__annotations__["config"] = config_of(name, declared)  # the Launchpad shows the declared settings
    return dg.asset(
        key=asset,
        deps=[keys.key(algorithm.name, SAMPLES)],
        **keys.common(algorithm.declaration, keys.MODELS),
        kinds={declared.kind},
        description=f"{declared.kind} on {len(spec_of(algorithm.declaration, name).features)} features, "
        f"{declared.objective}; trained by {', '.join(lineages) or 'no lineage'}. The newest rows are predicted before "
        "they are learned; the evaluation of each lineage judges those predictions.",
        code_version=algorithm.plan.hash[:12],
        metadata={"features": list(spec_of(algorithm.declaration, name).features), "lineages": lineages},
        check_specs=gates.specs(algorithm, asset, table),
    )(train)


@dataclass(frozen=True)
class Result:
    """A trained model, the rows that it predicted before learning them, its predictions, and what a person sees."""

    model: Model
    held: pl.DataFrame
    scores: NDArray[np.float64]
    shown: dict[str, Any]


def learn(
    training: Training,
    samples: pl.DataFrame,
    spec: ModelSpec,
    config: TrainingConfig,
    champions: list[Champion],
    scheme: str = "once",
) -> Result:
    """Train, predict the held-out rows, learn them too, and save.

    Incremental training goes on from the newest champion that holds the model; without one it is full. `scheme` is that
    of the label: the weights that it asks for are frozen from the champion's model.
    """
    begun = time.monotonic()
    holding = [each for each in champions if spec.name in each.manifest.models]
    newest = max(holding, key=lambda each: each.publication, default=None)
    source = newest if _goes_on(newest, spec, config) else None
    before = newest.load(spec.name) if newest is not None and scheme in WEIGHTED else None
    samples = weighted(samples, scheme, before.predict if before else None)
    rows, held = training.split(samples)
    candidate = _fit(rows, spec, config, source)
    said = outputs(candidate, spec.declaration, held) if held.height else {spec.declaration.output: np.empty(0)}
    scores = said[spec.declaration.output]
    final = candidate
    if held.height and config.finish == "again":
        final = _fit(samples, spec, config, source)
    elif held.height:
        old = rows.sample(n=min(rows.height, round(held.height * config.replay)), seed=config.seed)
        final = trainer(spec.declaration.kind).fit(pl.concat([old, held]), spec, candidate)
    final.save(training.model(spec.name))
    increments = source.increments(spec.name) + 1 if source else 0
    facts = {"kind": spec.declaration.kind, "increments": increments, "seed": spec.seed}
    training.record(spec.name, held, said, {**facts, "state": data_state(samples).to_json()})
    shown: dict[str, Any] = {"rows": samples.height, "held_out": held.height, **facts}
    if held.height:
        known = settled(held.with_columns(_score=scores))
        binary = spec.declaration.objective == "binary"
        metrics = measure(known["label"].to_numpy(), known["_score"].to_numpy(), binary=binary).to_json()
        shown |= {key: value for key, value in metrics.items() if value is not None and key != "rows"}
    return Result(final, held, scores, {**shown, "seconds": round(time.monotonic() - begun, 2)})


def _goes_on(newest: Champion | None, spec: ModelSpec, config: TrainingConfig) -> bool:
    """Whether the training goes on from the newest champion; otherwise it is full."""
    if newest is None or config.mode != "incremental":
        return False
    return not (config.full_after and newest.increments(spec.name) >= config.full_after)


def _scheme(algorithm: Algorithm) -> str:
    label = algorithm.declaration.label
    return label.scheme if label is not None else "once"


def _fit(rows: pl.DataFrame, spec: ModelSpec, config: TrainingConfig, source: Champion | None) -> Model:
    teacher = trainer(spec.declaration.kind)
    if source is None:
        return teacher.fit(rows, spec)
    new = with_replay(rows, source.state, config.replay, config.seed)
    previous = source.load(spec.name)
    return teacher.fit(new, spec, previous) if new.height else previous


def _plots(result: Result, spec: ModelSpec) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if result.held.height:
        shown["calibration"] = plots.calibration(result.held["label"].to_numpy(), {spec.name: result.scores})
    gains = _gains(result.model)
    if gains:
        best = sorted(gains.items(), key=lambda item: -item[1])[:15]
        shown["importance"] = plots.bars(dict(best), "Most useful features", "total gain")
    return shown


def _gains(model: Model) -> dict[str, float]:
    """Total gain by feature, of trees."""
    if isinstance(model, XGBoostModel):
        return dict(model.booster.get_score(importance_type="total_gain"))
    if isinstance(model, LightGBMModel):
        gains = model.booster.feature_importance(importance_type="gain")
        return {name: float(gain) for name, gain in zip(model.features, gains, strict=True) if gain}
    return {}
