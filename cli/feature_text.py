"""A feature in words: paragraphs for people, and its cost measured."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from saima.errors import SaimaError, suggest

if TYPE_CHECKING:
    from saima.features import Plan

COMPUTED = {
    "const": "once, when the plan is made",
    "request": "on one row a request, whatever the number of candidates",
    "user": "on one row a request, whatever the number of candidates",
    "item": "once a version of the candidate's rows and windows, kept as a column and gathered",
    "cross": "for each candidate of each request",
}


def paragraphs(found: dict[str, Any]) -> list[str]:
    """Lines of a feature's document (see `cli.feature`)."""
    lines = [f"{found['full_name']}: {found['dtype']}, {found['side']} side"]
    if found["description"]:
        lines.append(f"  {found['description']}")
    default = "none: a missing value stays missing" if found["default"] is None else repr(found["default"])
    bits = "equal on every path" if found["exact"] else "one home; the reference within 2 ulp an operator"
    lines += [
        f"  defined     {found['place']}",
        f"  value       {found['value']}",
        f"  compiled    {found['compiled']}",
        f"  default     {default}",
        f"  computed    in stage {found['stage']}, {COMPUTED[found['side']]}",
        f"  bits        {bits}",
    ]
    lines += _list("lineage", [f"{column}: {origin}" for column, origin in found["lineage"].items()] or ["constants"])
    lines += _list("algorithms", list(found["algorithms"]))
    lines += _list("models", list(found["models"]) or ["none"])
    lines += _list("features", list(found["features"]) or ["none names it"])
    lines += _list("metrics", found["metrics"] or ["none"])
    lines += _list("monitors", found["monitors"] or ["none"])
    cost = found.get("cost")
    if cost:
        alone, plan = cost["alone"], cost["plan"]
        rows = alone["rows"]
        lines += _list(
            "cost",
            [
                f"alone, with what it names: one row {alone['one']:.0f} us, {rows} rows {alone['many']:.0f} us",
                f"the algorithm's whole plan of {cost['features']} features: one row {plan['one']:.0f} us, "
                f"{rows} rows {plan['many']:.0f} us",
                f"without it: {rows} rows {cost['without']['many']:.0f} us",
            ],
        )
    return lines


def cost_of(plan: Plan, name: str, rows: int) -> dict[str, Any]:
    """What a feature costs: alone, the plan with it, and the plan without it and what names it."""
    from dataclasses import asdict

    from saima.features.checks.trial import frame_of, input_types, made_up
    from saima.features.cost import measure, part_of
    from saima.features.entries import closure

    types = input_types(plan)
    frame = frame_of(types, made_up(types, rows))
    computed = {feature.name: feature for feature in plan.computed}
    others = [each for each in computed if name not in closure(computed, [each])]
    whole = measure(plan, frame, 20)
    without = measure(part_of(plan, others), frame, 20) if others else None
    return {
        "features": len(computed),
        "alone": asdict(measure(part_of(plan, [name]), frame)),
        "plan": asdict(whole),
        "without": asdict(without) if without else {"one": 0.0, "many": 0.0},
    }


def operator_lines(name: str | None) -> list[str]:
    """One line an operator, or all that its docstring says; SaimaError with the nearest name for an unknown one."""
    from saima.features.operators import OPERATORS

    public = {each: found for each, found in OPERATORS.items() if not found.hidden}
    if name is None:
        lines, family = [], ""
        for each, found in public.items():
            if found.family != family:
                family = found.family
                lines.append(family)
            lines.append(f"  {each:<14} {(inspect.getdoc(found.reference) or '').partition(chr(10))[0]}")
        return lines
    if name not in public:
        raise SaimaError(f"no operator '{name}'{suggest(name, public)}; `saima feature operators` lists them")
    found = public[name]
    kinds = ", ".join(f"{parameter}: {kind}" for parameter, kind in found.kinds.items())
    bits = "equal on every path" if found.exact else "one home; the reference within 2 ulp"
    return [f"{name}({kinds})", f"  {bits}", "", *(inspect.getdoc(found.reference) or "").splitlines()]


def _list(title: str, items: list[str]) -> list[str]:
    return [f"  {title if place == 0 else '':<10}  {item}" for place, item in enumerate(items)]
