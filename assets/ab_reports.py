"""One report an experiment: effect, interval and trust, as metadata and as a page that opens anywhere."""

import time
from typing import Any

import dagster as dg

from ab import report
from assets import keys
from assets.samples import NAME as SAMPLES
from assets.stores import Stores
from saima.features import Algorithm
from saima.routing.experiments import Experiment


def ab_report(algorithm: Algorithm, experiment: Experiment) -> dg.AssetsDefinition:
    """Asset that writes `<home>/reports/<algorithm>/<experiment>.html` and shows the verdict."""
    name = algorithm.name

    def build(stores: Stores) -> dg.MaterializeResult[None]:
        settings = stores.settings
        found = report.from_tables(
            name, experiment.experiment, stores.tables, generated=time.time_ns() // 1_000_000, settings=settings
        )
        path = settings.home / "reports" / name / f"{experiment.experiment}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(report.to_html(found), encoding="utf-8")
        partial.replace(path)
        return dg.MaterializeResult(
            metadata={**_shown(report.to_metadata(found)), "page": dg.MetadataValue.path(str(path))}
        )

    lineages = sorted({arm.lineage for arm in experiment.arms.values() if arm.lineage is not None})
    return dg.asset(
        key=keys.key(name, f"ab_report_{experiment.experiment}"),
        deps=[keys.key(name, SAMPLES), *(keys.key(name, f"deployment_{lineage}") for lineage in lineages)],
        group_name=keys.EXPERIMENTS,
        owners=[experiment.owner],
        tags={"saima/algorithm": name, "saima/experiment": experiment.experiment},
        kinds={"html"},
        description=f"{experiment.hypothesis} Split by {experiment.unit}: "
        + ", ".join(f"{arm} {each.weight:g} % on {each.lineage}" for arm, each in experiment.arms.items())
        + ". Trust first, then the effect with its interval.",
    )(build)


def _shown(metadata: report.Metadata) -> dict[str, Any]:
    return {
        label: dg.MetadataValue.md(value) if type(value) is not str and isinstance(value, str) else value
        for label, value in metadata.items()
    }
