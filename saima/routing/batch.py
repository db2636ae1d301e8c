"""Assignments of many units at once: the same bits as `Layers.resolve`, as Polars expressions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from saima.routing.buckets import BUCKETS, PLACES, Hash, bucket_expr, place
from saima.routing.experiments import Experiment
from saima.routing.fnv import growthbook_v1, growthbook_v2
from saima.routing.layout import Layout, altered

Code = Callable[[int, int | None, str], pl.Expr]

REASONS = pl.Enum(["hashed", "override", "not_eligible", "outside", "holdout"])
"""Reasons of a batch, which knows no tokens."""

_POSITIONS = pl.Series(PLACES)


def _planout(units: pl.Series, salt: str) -> pl.Series:
    return pl.Series(units.name, [place("planout", salt, unit) if unit else None for unit in units], pl.Float64)


_BY_COLUMN: dict[str, Callable[[pl.Series, str], pl.Series]] = {
    "growthbook_v1": growthbook_v1,
    "growthbook_v2": growthbook_v2,
    "planout": _planout,
}


def place_expr(method: Hash, salt: str, unit: str | pl.Expr) -> pl.Expr:
    """`place` over a column of text: float64 in [0, 1), null for a null or empty unit."""
    text = pl.col(unit) if isinstance(unit, str) else unit
    known = text.str.len_bytes() > 0
    if method == "xxh64":
        # A table, since Polars divides by a constant as it multiplies by its inverse, which has other bits.
        return pl.lit(_POSITIONS).gather(bucket_expr(salt, text))
    one = _BY_COLUMN[method]
    found = text.map_batches(lambda units: one(units, salt), return_dtype=pl.Float64, is_elementwise=True)
    return pl.when(known).then(found)


def assigned(experiment: Experiment, units: pl.Series, layout: Layout | None = None) -> pl.Series:
    """Arm by unit, "" outside; every unit is taken for eligible."""
    free = altered(experiment, eligibility=None)
    frame = pl.DataFrame({experiment.unit: units})
    if layout is not None and layout.unit != experiment.unit:
        # What divides the domains is not known of these units.
        layers = {name: altered(one, domain=None) for name, one in layout.layers.items()}
        layout = altered(layout, domains={}, layers=layers)
    return assign(frame, [free], layout)[f"{experiment.layer}.arm"].cast(pl.String).alias("arm")


def assign(
    units: pl.DataFrame,
    experiments: Sequence[Experiment],
    layout: Layout | None = None,
    eligible: Mapping[str, pl.Expr] | None = None,
) -> pl.DataFrame:
    """`<layer>.experiment`, `<layer>.arm` ("" outside) and `<layer>.reason` of each row, as Enums.

    units: one text column a unit field (null: unknown), and what eligibility reads. eligible: by experiment, whether
    the row may enter, for each that declares an eligibility; without one nobody may.
    """
    layout = layout or Layout()
    layers: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        layers.setdefault(experiment.layer, []).append(experiment)
    codes = [_layer(name, layers[name], layout, eligible or {}).alias(name) for name in sorted(layers)]
    coded = units.lazy().select(codes).collect()
    return pl.DataFrame([column for name in sorted(layers) for column in _named(name, layers[name], coded[name])])


def _layer(name: str, experiments: Sequence[Experiment], layout: Layout, eligible: Mapping[str, pl.Expr]) -> pl.Expr:
    """Code of each row: (experiment x (arms + 1) + arm) x reasons + reason, the first one's `outside` where none is."""
    width = max(len(one.arms) for one in experiments) + 1
    reasons = {reason: number for number, reason in enumerate(REASONS.categories)}

    def code(number: int, arm: int | None, reason: str) -> pl.Expr:
        at = (number * width + (width - 1 if arm is None else arm)) * len(reasons) + reasons[reason]
        return pl.lit(at, dtype=pl.UInt32)

    found = code(0, None, "outside")
    blocked = _blocked(name, layout)
    for number, one in reversed(list(enumerate(experiments))):
        unit = pl.col(one.unit)
        found = pl.when(_holds(one, layout)).then(_arm(one, number, code, eligible)).otherwise(found)
        for text, arm in one.overrides.items():
            found = pl.when(unit == text).then(code(number, one.names.index(arm), "override")).otherwise(found)
    if blocked is None:
        return found
    for reason, where in blocked:
        stands = code(0, None, reason)
        for number, one in reversed(list(enumerate(experiments))):
            for text, arm in one.overrides.items():
                over = code(number, one.names.index(arm), "override")
                stands = pl.when(pl.col(one.unit) == text).then(over).otherwise(stands)
        found = pl.when(where).then(stands).otherwise(found)
    return found


def _arm(one: Experiment, number: int, code: Code, eligible: Mapping[str, pl.Expr]) -> pl.Expr:
    ranges: Sequence[tuple[float, float]] = one.split.arms
    if one.hash == "xxh64":
        at = bucket_expr(one.split.salt, one.unit)
        ranges = [(_first(start), _first(end)) for start, end in ranges]
    else:
        at = place_expr(one.hash, one.split.salt, one.unit)
    found = code(number, None, "outside")
    for arm, (start, end) in reversed(list(enumerate(ranges))):
        found = pl.when((at >= start) & (at < end)).then(code(number, arm, "hashed")).otherwise(found)
    if one.eligibility is None:
        return found
    may = eligible.get(one.experiment, pl.lit(False)).fill_null(False)
    return pl.when(may).then(found).otherwise(code(number, None, "not_eligible"))


def _first(position: float) -> int:
    """The first bucket at or beyond a position."""
    return bisect_left(PLACES, position)


def _holds(one: Experiment, layout: Layout) -> pl.Expr:
    """Whether the layer's bucket of the unit is the experiment's; false without a unit."""
    if one.buckets == (0, BUCKETS):
        return (pl.col(one.unit).str.len_bytes() > 0).fill_null(False)
    bucket = bucket_expr(layout.salt_of(one.layer), one.unit)
    return ((bucket >= one.buckets[0]) & (bucket < one.buckets[1])).fill_null(False)


def _blocked(name: str, layout: Layout) -> list[tuple[str, pl.Expr]] | None:
    """Where the domains keep a layer from units, and why; None where they do not."""
    if not layout.domains:
        return None
    domain = layout.layer(name).domain
    bucket = bucket_expr(layout.salt, layout.unit)

    def inside(buckets: tuple[int, int]) -> pl.Expr:
        return ((bucket >= buckets[0]) & (bucket < buckets[1])).fill_null(False)

    rules = [("outside", ~inside(layout.domains[domain].buckets))] if domain is not None else []
    return rules + [("holdout", inside(one.buckets)) for one in layout.domains.values() if one.holdout]


def _named(name: str, experiments: Sequence[Experiment], codes: pl.Series) -> list[pl.Series]:
    width, reasons = max(len(one.arms) for one in experiments) + 1, len(REASONS.categories)
    whom = codes // reasons
    arms = [[*one.names, *[""] * (width - len(one.arms))] for one in experiments]
    told = {
        "experiment": ([one.experiment for one in experiments], whom // width),
        "arm": ([arm for row in arms for arm in row], whom),
        "reason": (REASONS.categories.to_list(), codes % reasons),
    }
    return [
        pl.Series(f"{name}.{part}", names, pl.Enum(list(dict.fromkeys(names)))).gather(numbers)
        for part, (names, numbers) in told.items()
    ]
