"""One deployment a lineage: routes its new version by compare-and-set on the epoch."""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from assets import keys, retrains
from assets.champions import champion
from assets.evaluations import training_of
from assets.stores import Stores
from saima.features import Algorithm
from saima.routing.checks import checked_experiments
from saima.routing.deployment import Held, Transition, chain, configure, read_document, refresh, write
from saima.stores.interfaces import BundleRow, Registry


class DeploymentConfig(dg.Config):
    """How a version is routed."""

    release: bool = Field(
        False, description="Route it even if it is a release: another declaration than the routed version's."
    )
    allow_request_time: bool = Field(
        False,
        description="Let callers set request.time: for replay and backtests. Set when the algorithm is first routed.",
    )


def deployment(algorithm: Algorithm, lineage: str) -> dg.AssetsDefinition:
    """Asset that changes the deployment document; the hosts follow within a second."""
    name, declaration = algorithm.name, algorithm.declaration

    def deploy(
        context: dg.AssetExecutionContext, config: DeploymentConfig, stores: Stores
    ) -> dg.MaterializeResult[None]:
        registry = stores.registry
        this = retrains.begin(context, registry, declaration, [lineage])[0]
        training = training_of(registry, name, lineage, declaration, stores.training(name, context.run.run_id))
        row = registry.bundle(int(training.document(f"bundle_{lineage}")["publication"]))
        outcome, reason, epoch = route(algorithm, lineage, row, registry, config, this)
        retrains.end(registry, this, outcome, training.document(f"learned_{lineage}"), row.publication)
        retrains.tidy(stores.settings.home / "training" / name, keep=training.folder)
        context.log.info(f"publication {row.publication} of {lineage}: {outcome}; {reason}")
        shown: dict[str, Any] = {
            "outcome": outcome,
            "reason": reason,
            "publication": row.publication,
            "tag": row.tag,
            "epoch": epoch,
        }
        return dg.MaterializeResult(metadata={**shown, "tag": row.tag})

    return dg.asset(
        key=keys.key(name, f"deployment_{lineage}"),
        deps=[keys.key(name, f"bundle_{lineage}")],
        **keys.common(declaration, keys.SERVING),
        kinds={"deployment"},
        description=f"What the hosts route for lineage {lineage}. A refresh is swapped in at once, the version before "
        "it stays warm; a release waits for a person; a lineage on hold takes nothing.",
        pool=keys.pool(name, lineage),
    )(deploy)


def route(
    algorithm: Algorithm,
    lineage: str,
    row: BundleRow,
    registry: Registry,
    config: DeploymentConfig,
    this: retrains.Retrain,
) -> tuple[str, str, int]:
    """Route a publication if it may be; (outcome, why, epoch). Outcomes as `retrains.end` names them."""
    before = registry.deployment()
    reigning = champion(registry, algorithm.name, lineage)
    if reigning is not None and reigning.manifest.declaration_digest != algorithm.digest and not config.release:
        why = f"the declaration differs from that of publication {reigning.publication}: a release waits for a person"
        return "published", why, before.epoch
    transition: Transition = refresh(algorithm.name, lineage, row.publication)
    if algorithm.name not in read_document(before.document).algorithms:
        declared = checked_experiments(algorithm)
        chosen = [each.experiment for each in declared.experiments]
        first = configure(
            algorithm.name,
            experiments=chosen,
            layout=declared.layout,
            started=dict.fromkeys((each.experiment for each in chosen), time.time_ns() // 1_000_000),
            default_lineage=next(iter(algorithm.declaration.lineages)),
            allow_request_time=config.allow_request_time,
        )
        transition = chain(first, transition)
    reason = f"{lineage} refreshed, triggered by {this.trigger}"
    try:
        after = write(registry, transition, f"dagster run {this.run_id}", reason)
    except Held as held:
        return "held", str(held), before.epoch
    return "routed", reason, after.epoch
