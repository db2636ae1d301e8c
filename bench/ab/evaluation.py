"""Our report on samples of a million units: from rows in memory to the page's text; JSON on stdout."""

from __future__ import annotations

import argparse
import json
import resource
import time

from workload import MEANS, RATIOS, START, samples

from ab.plan import Plan
from ab.report import build, to_html
from saima.routing.experiments import Experiment

METRICS = {
    **{name: {"value": name, "kind": "mean", "role": "primary" if name == "mean0" else "secondary"} for name in MEANS},
    **{name: {"value": name, "kind": "ratio", "denominator": f"{name}_of"} for name in RATIOS},
}
EXPERIMENT = Experiment.model_validate(
    {
        "experiment": "report",
        "layer": "model",
        "unit": "user",
        "arms": {name: {"lineage": "main", "weight": 50} for name in ("control", "treatment")},
        "metrics": METRICS,
        "analysis": {"method": "sequential"},
    }
)
PLAN = Plan(covariates={name: f"before{n}" for n, name in enumerate(METRICS)}, segments=["country"])


def main() -> None:
    """Measure `--repeats` reports after a small one that loads everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    build(EXPERIMENT, samples(1000).lazy(), generated=START, plan=PLAN)
    frame = samples(given.units)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken = []
    for _ in range(given.repeats):
        wall, used = time.perf_counter(), time.process_time()
        report = build(EXPERIMENT, frame.lazy(), generated=START, plan=PLAN)
        page = to_html(report)
        taken.append({"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - used})
    found = {
        "units": given.units,
        "samples": frame.height,
        "metrics": len(METRICS),
        "looks": len(report.days),
        "segments": len(report.segments[0].slices),
        "verdict": report.verdict.headline,
        "page_kb": len(page) // 1024,
        **{name: sorted(each[name] for each in taken)[len(taken) // 2] for name in taken[0]},
        "data_mb": before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "effects": {
            each.metric: {"effect": each.estimate.effect, "se": each.estimate.se}
            for each in report.effects
            if each.estimate is not None
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
