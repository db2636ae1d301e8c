"""One report an experiment: effect, interval and trust, as metadata and as a page that opens anywhere."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from ab import report
from assets import keys
from assets.samples import NAME as SAMPLES
from assets.stores import Stores
from saima.features import Algorithm
from saima.routing.experiments import Experiment

if TYPE_CHECKING:
    from ab.report.findings import Report


CHECKS = {
    "sample_ratio": ("Sample ratio", "Sample ratio by phase"),
    "alike_before": ("Alike before",),
    "one_arm_a_unit": ("One arm a unit", "Unit ids"),
    "join_rate": ("Join rate",),
    "penetration": ("Penetration",),
}
"""Asset checks of a report by name, and the trust checks that each stands for."""


def ab_report(algorithm: Algorithm, experiment: Experiment) -> dg.AssetsDefinition:
    """Asset that writes `<home>/reports/<algorithm>/<experiment>.html` and shows the verdict."""
    name = algorithm.name
    asset = keys.key(name, f"ab_report_{experiment.experiment}")

    def build(stores: Stores) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        settings = stores.settings
        found = report.from_tables(
            name, experiment.experiment, stores.tables, generated=time.time_ns() // 1_000_000, settings=settings
        )
        path = settings.home / "reports" / name / f"{experiment.experiment}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(report.to_html(found), encoding="utf-8")
        partial.replace(path)
        yield dg.MaterializeResult(
            metadata={**_shown(report.to_metadata(found)), "page": dg.MetadataValue.path(str(path))}
        )
        yield from _checked(asset, found)

    lineages = sorted({arm.lineage for arm in experiment.arms.values() if arm.lineage is not None})
    return dg.asset(
        key=asset,
        deps=[keys.key(name, SAMPLES), *(keys.key(name, f"deployment_{lineage}") for lineage in lineages)],
        group_name=keys.EXPERIMENTS,
        owners=[experiment.owner],
        tags={"saima/algorithm": name, "saima/experiment": experiment.experiment},
        kinds={"html"},
        check_specs=[
            dg.AssetCheckSpec(each, asset=asset, description=f"Trust of the comparison: {', '.join(stands).lower()}.")
            for each, stands in CHECKS.items()
        ],
        description=f"{experiment.hypothesis} Split by {experiment.unit}: "
        + ", ".join(f"{arm} {each.weight:g} % on {each.lineage}" for arm, each in experiment.arms.items())
        + ". Trust first, then the effect with its interval.",
    )(build)


def _checked(asset: dg.AssetKey, found: "Report") -> Iterator[dg.AssetCheckResult]:
    """One result a check: it fails where one of its trust checks does; a warning passes and is shown."""
    for name, stands in CHECKS.items():
        checks = [check for check in found.checks if check.name in stands]
        yield dg.AssetCheckResult(
            passed=all(check.status != "fail" for check in checks),
            asset_key=asset,
            check_name=name,
            severity=dg.AssetCheckSeverity.ERROR,
            description=" ".join(check.sentence for check in checks) or "Not asked: the layer is the cloud's alone.",
            metadata={
                **{check.name: check.status for check in checks},
                **{f"p, {check.name.lower()}": check.p_value for check in checks if check.p_value is not None},
            },
        )


def _shown(metadata: report.Metadata) -> dict[str, Any]:
    return {
        label: dg.MetadataValue.md(value) if type(value) is not str and isinstance(value, str) else value
        for label, value in metadata.items()
    }
