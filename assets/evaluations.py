"""One evaluation a lineage: its fused estimate on rows that it had not learned, beside the champion and a baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets import keys, plots, retrains
from assets.champions import champion, holder
from assets.models.training import Training
from assets.stores import Stores
from saima.errors import SaimaError
from saima.features import Algorithm
from saima.features.declaration import Declaration
from saima.features.plan import compile_fuse
from saima.learning.evaluation import Metrics, Verdict, baselines, gate, measure
from saima.learning.model import outputs
from saima.learning.outcomes import settled
from saima.learning.trainers import spec_of
from saima.routing.checks import checked_experiments
from saima.routing.experiments import Experiment
from saima.stores.interfaces import Registry

CHECK = "beats_champion"

Outputs = Mapping[str, NDArray[np.float64]]
"""What a model says of each row, by the names of its outputs."""


def evaluation(algorithm: Algorithm, lineage: str) -> dg.AssetsDefinition:
    """Asset that judges a lineage's freshly trained models before anything is bundled."""
    name, declaration = algorithm.name, algorithm.declaration
    asset = keys.key(name, f"evaluation_{lineage}")

    def evaluate(
        context: dg.AssetExecutionContext, stores: Stores
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        registry, tables = stores.registry, stores.tables
        this = retrains.begin(context, registry, declaration, [lineage])[0]
        training = training_of(registry, name, lineage, declaration, stores.training(name, context.run.run_id))
        samples = training.read(tables, _features(algorithm))
        rows, held = training.split(samples)
        facts = retrains.learned(training, samples, this.position, lineage)
        training.write(f"learned_{lineage}", facts)
        judged = judge(algorithm, lineage, training, rows, held, registry)
        training.write(f"evaluation_{lineage}", judged.document)
        yield dg.MaterializeResult(metadata={**judged.shown, **judged.plots})
        yield dg.AssetCheckResult(
            passed=judged.verdict.passed,
            asset_key=asset,
            check_name=CHECK,
            severity=dg.AssetCheckSeverity.WARN,
            description=judged.verdict.reason,
        )
        if not judged.verdict.passed:
            context.log.warning(judged.verdict.reason)
            retrains.end(registry, this, "rejected", facts, None)

    return dg.asset(
        key=asset,
        deps=[keys.key(name, model) for model in used_models(algorithm, lineage)],
        **keys.common(declaration, keys.EVALUATION),
        kinds={"polars"},
        description=f"The estimate of lineage {lineage} on the newest rows, predicted before they were learned, beside "
        "the routed version on the same rows. A candidate that loses is not bundled.",
        pool=keys.pool(name, lineage),
        check_specs=[
            dg.AssetCheckSpec(
                name=CHECK,
                asset=asset,
                description="The candidate is not worse than the routed version by more than 2 %.",
            )
        ],
    )(evaluate)


@dataclass(frozen=True)
class Judged:
    """Metrics of candidate, champion and baseline on the held-out rows, and the verdict."""

    verdict: Verdict
    metrics: dict[str, Metrics]
    label: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]

    @property
    def document(self) -> dict[str, Any]:
        """JSON values, for the bundle's manifest."""
        metrics = {name: each.to_json() for name, each in self.metrics.items()}
        return {"passed": self.verdict.passed, "reason": self.verdict.reason, "metrics": metrics}

    @property
    def shown(self) -> dict[str, Any]:
        """Metadata: numbers, which Dagster plots over time, and a table."""
        flat = {
            f"{name}/{key}": value
            for name, each in self.metrics.items()
            for key, value in each.to_json().items()
            if value is not None and key != "rows"
        }
        return {
            "verdict": self.verdict.reason,
            "held_out": int(self.label.size),
            **flat,
            "metrics": _table(self.metrics),
        }

    @property
    def plots(self) -> dict[str, Any]:
        """Calibration of each on the held-out rows, and their errors."""
        if not self.label.size:
            return {}
        errors = {name: each.mae for name, each in self.metrics.items()}
        return {
            "calibration": plots.calibration(self.label, self.scores),
            "errors": plots.bars(errors, "Mean absolute error", "unit of the label"),
        }


def judge(
    algorithm: Algorithm, lineage: str, training: Training, rows: pl.DataFrame, held: pl.DataFrame, registry: Registry
) -> Judged:
    """Score the held-out rows by candidate and champion under the lineage's parameters and compare what has settled."""
    known = settled(held.with_row_index("_row"))
    label, at = known["label"].to_numpy(), known["_row"].to_numpy()
    if not held.height:
        return Judged(Verdict(True, "no row is new to the champion: nothing to compare"), {}, label, {})
    parameters = parameters_of(algorithm, lineage)
    reigning = champion(registry, algorithm.name, lineage)
    candidate: dict[str, Outputs] = {}
    for name in needed_models(algorithm.declaration, [parameters]):
        candidate[name] = (
            training.predictions(name) if training.trained(name) else _ride(registry, algorithm, name, held)
        )
    scores = {"candidate": _fuse(algorithm.declaration, candidate, parameters)}
    if reigning is not None and reigning.manifest.declaration_digest == algorithm.digest:
        models = {name: algorithm.declaration.models[name] for name in candidate}
        said = {name: outputs(reigning.load(name), declared, held) for name, declared in models.items()}
        scores["champion"] = _fuse(algorithm.declaration, said, parameters)
    scores |= baselines(rows, held, "label")
    scores = {name: score[at] for name, score in scores.items()}
    binary = is_binary(algorithm.declaration)
    metrics = {name: measure(label, score, binary=binary) for name, score in scores.items()}
    verdict = gate(metrics["candidate"], metrics.get("champion"), metric="log_loss" if binary else "mae")
    return Judged(verdict, metrics, label, scores)


def is_binary(declaration: Declaration) -> bool:
    """Whether the label is that something happened, and the score its chance."""
    return declaration.label is not None and declaration.label.value is None


def parameters_of(algorithm: Algorithm, lineage: str) -> dict[str, Any]:
    """The lineage's parameters: the declared defaults under those of the first arm that names it."""
    arms = [arm for each in experiments(algorithm) for arm in each.arms.values() if arm.lineage in (None, lineage)]
    defaults = {name: parameter.default for name, parameter in algorithm.declaration.parameters.items()}
    return {**defaults, **(arms[0].parameters if arms else {})}


def used_models(algorithm: Algorithm, lineage: str) -> list[str]:
    """Models that a bundle of the lineage holds: those that it trains and those that its arms' parameters need."""
    arms = [arm for each in experiments(algorithm) for arm in each.arms.values() if arm.lineage in (None, lineage)]
    needed = needed_models(algorithm.declaration, [{}, *(arm.parameters for arm in arms)])
    return list(dict.fromkeys([*algorithm.declaration.lineages[lineage].train, *needed]))


def needed_models(declaration: Declaration, parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Models that the fusion needs under any of these parameters, the declared defaults below them."""
    if declaration.fuse is None:
        return list(declaration.models)
    defaults = {name: parameter.default for name, parameter in declaration.parameters.items()}
    fuse = compile_fuse(declaration)
    return list(dict.fromkeys(name for each in parameters for name in fuse.models_needed({**defaults, **each})))


def experiments(algorithm: Algorithm) -> list[Experiment]:
    """The algorithm's declared experiments. Raises DeclarationError for one that does not fit it."""
    return [each.experiment for each in checked_experiments(algorithm).experiments]


def training_of(registry: Registry, algorithm: str, lineage: str, declaration: Declaration, mine: Path) -> Training:
    """The training of this run, or, in a run without the models' steps, the newest one of the lineage."""
    if mine.exists():
        return Training.open(mine)
    facts = [registry.fact(f"training/{algorithm}/{lineage}/{name}") for name in declaration.lineages[lineage].train]
    folders = {str(fact["folder"]) for fact in facts if fact}
    if not folders:
        raise SaimaError(f"{algorithm}/{lineage} has no training yet: materialize its models")
    return Training.open(Path(max(folders, key=lambda folder: Path(folder).stat().st_mtime)))


def _features(algorithm: Algorithm) -> list[str]:
    specs = [spec_of(algorithm.declaration, name) for name in algorithm.declaration.models]
    return list(dict.fromkeys(name for spec in specs for name in spec.features))


def _ride(registry: Registry, algorithm: Algorithm, model: str, held: pl.DataFrame) -> Outputs:
    """What is said by a model that this lineage does not train, from the newest bundle that holds it."""
    found = holder(registry, algorithm.name, model)
    if found is None:
        raise SaimaError(f"no bundle of {algorithm.name} holds model '{model}', and this run does not train it")
    return outputs(found.load(model), algorithm.declaration.models[model], held)


def _fuse(declaration: Declaration, said: Mapping[str, Outputs], parameters: Mapping[str, Any]) -> NDArray[np.float64]:
    if declaration.fuse is None:
        only, found = next(iter(said.items()))
        return found[declaration.models[only].output]
    named = {f"{name}.{output}": values for name, found in said.items() for output, values in found.items()}
    return compile_fuse(declaration).evaluate(named, dict(parameters))


def _table(metrics: Mapping[str, Metrics]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord({"who": name, **{key: value for key, value in each.to_json().items() if value is not None}})
        for name, each in metrics.items()
    ]
    columns = [
        dg.TableColumn("who", "string"),
        *(dg.TableColumn(key, "float") for key in ("mae", "rmse", "r2", "auc", "log_loss")),
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([*columns, dg.TableColumn("rows", "int")]))
