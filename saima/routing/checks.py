"""Whether a declared experiment fits its algorithm: lineages, parameters, unit, eligibility, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from saima.errors import DeclarationError, suggest
from saima.features.algorithm import Algorithm
from saima.features.declaration import Declaration
from saima.features.expression import Scope, compile_expression
from saima.features.nodes import Node, column
from saima.features.source import Path_
from saima.features.syntax import ExpressionError
from saima.features.types import BOOL, FLOAT64, INT64, STRING, Type, declarable, parse_type
from saima.routing.declared import Declared, Experiments, read_experiments

TRACE, BEFORE = "trace", "before"

_UNITS = ("string", "int64")
"""Types of a field that may be a unit: its text is the same wherever it comes from."""

SAMPLE: Mapping[str, Type] = {
    "trace": STRING, "item": STRING, "time": INT64, "label": FLOAT64, "label_time": INT64, "label_offset": INT64,
    "label_appended": INT64, "role": STRING, "weight": FLOAT64, "version": INT64, "lineage": STRING,
    "experiment": STRING, "arm": STRING, "unit": STRING, "score": FLOAT64, "offset": INT64, "day": STRING,
}  # fmt: skip
"""Columns that every algorithm's samples have, before its own outputs and features."""


def checked_experiments(algorithm: Algorithm) -> Experiments:
    """The algorithm's declared experiments. Raises DeclarationError for the first mistake, with its place."""
    found = read_experiments(algorithm.directory)
    for declared in found.experiments:
        mistake = next(mistakes(declared, algorithm.declaration), None)
        if mistake is not None:
            raise mistake
    return found


def mistakes(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    """What in an experiment does not fit the algorithm's declaration, each with its place and the way out."""
    yield from _unit(declared, declaration)
    yield from _arms(declared, declaration)
    yield from _eligibility(declared, declaration)
    yield from _metrics(declared, declaration)
    yield from _analysis(declared, declaration)


def fields_of(declaration: Declaration) -> dict[str, str]:
    """Declared types of the fields that a request is routed by: the user's, then the request's."""
    return {**declaration.request.user, **declaration.request.fields}


def fields_scope(fields: Mapping[str, str]) -> Scope:
    """Names of declared fields, as expressions over plain values see them."""
    return _scope({name: parse_type(dtype) for name, dtype in fields.items()})


def _scope(types: Mapping[str, Type]) -> Scope:
    return Scope({name: column(name, dtype, "request") for name, dtype in types.items()})


def _unit(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    unit, fields = declared.experiment.unit, fields_of(declaration)
    if unit == TRACE:
        return
    if unit not in fields:
        able = [name for name, dtype in fields.items() if dtype in _UNITS]
        known = ", ".join([TRACE, *able])
        yield declared.error(f"unknown unit '{unit}'{suggest(unit, [TRACE, *able])}; known: {known}", ("unit",))
    elif fields[unit] not in _UNITS:
        yield declared.error(
            f"the field '{unit}' is {fields[unit]}; a unit is text or a whole number ({', '.join(_UNITS)}), which read "
            "the same everywhere",
            ("unit",),
        )


def _arms(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    lineages, parameters = declaration.lineages, declaration.parameters
    for name, arm in declared.experiment.arms.items():
        path: Path_ = ("arms", name)
        if arm.lineage is not None and arm.lineage not in lineages:
            known = ", ".join(lineages) or "none is declared"
            yield declared.error(
                f"unknown lineage '{arm.lineage}'{suggest(arm.lineage, lineages)}; known: {known}", (*path, "lineage")
            )
        for parameter, value in arm.parameters.items():
            where = (*path, "parameters", parameter)
            if parameter not in parameters:
                known = ", ".join(parameters) or "none is declared"
                yield declared.error(
                    f"unknown parameter '{parameter}'{suggest(parameter, parameters)}; known: {known}", where
                )
            elif not declarable(value, parse_type(parameters[parameter].dtype)):
                yield declared.error(f"the parameter is {parameters[parameter].dtype}, not {value!r}", where)


def _eligibility(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    text = declared.experiment.eligibility
    if text is None:
        return
    node, error = _compiled(declared, text, fields_scope(fields_of(declaration)), ("eligibility",))
    if error is not None:
        yield error
    elif node is not None and node.type != BOOL:
        yield declared.error(f"eligibility is true or false, and this is {node.type}", ("eligibility",))


def _metrics(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    samples = _Samples(declaration)
    for name, metric in declared.experiment.metrics.items():
        if (metric.kind == "ratio") != (metric.denominator is not None):
            way = "give it a denominator" if metric.denominator is None else "say kind: ratio, or leave it out"
            yield declared.error(f"a ratio, and only a ratio, has a denominator: {way}", ("metrics", name))
        if metric.margin is not None and metric.margin < 0:
            yield declared.error(
                f"a margin is what may be lost, a number from 0 on, not {metric.margin:g}; `direction` says which way",
                ("metrics", name, "margin"),
            )
        for field, text in (("value", metric.value), ("denominator", metric.denominator)):
            if text is None:
                continue
            node, error = _compiled(declared, text, samples.scope, ("metrics", name, field))
            if error is not None:
                yield error
            elif node is not None and not (node.type.is_number or node.type == BOOL):
                yield declared.error(f"a metric is a number, and this is {node.type}", ("metrics", name, field))


def _analysis(declared: Declared, declaration: Declaration) -> Iterator[DeclarationError]:
    analysis, samples = declared.experiment.analysis, _Samples(declaration)
    for metric, text in analysis.covariates.items():
        path: Path_ = ("analysis", "covariates", metric)
        node, error = (None, None) if text == BEFORE else _compiled(declared, text, samples.scope, path)
        if error is not None:
            yield error
        elif node is not None and not (node.type.is_number or node.type == BOOL):
            yield declared.error(f"a covariate is `{BEFORE}` or a number, and this is {node.type}", path)
    for place, name in enumerate(analysis.segments):
        if name not in samples.scope.names:
            near = suggest(name, samples.scope.names)
            yield declared.error(f"unknown column '{name}' of the samples{near}", ("analysis", "segments", place))


class _Samples:
    """What a metric may name: built only where there is a metric."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration

    @cached_property
    def scope(self) -> Scope:
        """The columns of samples."""
        outputs = {
            f"out.{name}.{output}": FLOAT64
            for name, model in self._declaration.models.items()
            for output in model.produced
        }
        features = {name: parse_type(feature.dtype) for name, feature in self._declaration.features.items()}
        return _scope({**SAMPLE, **outputs, **features})


def _compiled(declared: Declared, text: str, scope: Scope, path: Path_) -> tuple[Node | None, DeclarationError | None]:
    try:
        return compile_expression(text, scope), None
    except ExpressionError as error:
        return None, declared.error(error.message, path, error.column)
