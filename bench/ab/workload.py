"""The experiment that ours and the peer evaluate: units with days, ten metrics (four ratios), covariates, a segment."""

from __future__ import annotations

import numpy as np
import polars as pl

START, DAY = 1_364_774_400_000, 86_400_000
DAYS, SEGMENTS = 14, 5
MEANS = [f"mean{n}" for n in range(6)]
RATIOS = [f"ratio{n}" for n in range(4)]


def samples(units: int, seed: int = 1) -> pl.DataFrame:
    """Samples as the join writes them: one or two a unit on days of their own; two thirds of a metric was foreseeable.

    `before0` to `before9` are features that were known at the decision: the covariates.
    """
    random = np.random.default_rng(seed)
    rows = units + units // 2
    unit = np.concatenate([np.arange(units), random.integers(0, units, units // 2)])
    time = START + np.sort(random.integers(0, DAYS * DAY, rows))
    random.shuffle(unit)
    columns: dict[str, object] = {
        "trace": np.arange(rows),
        "item": np.zeros(rows, np.int8),
        "unit": unit,
        "time": time,
        "label": np.zeros(rows),
        "label_time": time + 1000,
        "experiment": np.full(rows, "report"),
        "arm": np.where(unit % 2 == 0, "control", "treatment"),
        "version": np.full(rows, "1"),
        "country": np.array(["DE", "FR", "IT", "ES", "PL"])[unit // 2 % SEGMENTS],
    }
    for n, name in enumerate([*MEANS, *RATIOS]):
        mine = random.normal(10, 2, units)[unit]
        columns[f"before{n}"] = mine
        columns[name] = mine + random.normal(0, 1.5, rows)
        if name in RATIOS:
            columns[f"{name}_of"] = 1 + random.poisson(3, rows) * 1.0
    text = pl.col("trace", "item", "unit").cast(pl.String)
    return pl.DataFrame(columns).with_columns(text)
