"""Check what a declaration learns: parameters and their fusion, the label, lineages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.errors import SaimaError
from saima.features.fuse import compile_fuse
from saima.features.syntax import ExpressionError
from saima.features.types import parse_type

if TYPE_CHECKING:
    from saima.features.checks.declaration import Checker


def check_parameters(checker: Checker) -> None:
    """Typed parameters with defaults; the fusion over them and the models' outputs."""
    for name, parameter in checker.declaration.parameters.items():
        dtype = checker.dtype(parameter.dtype, "parameters", name, "dtype")
        checker.default(parameter.default, dtype, "parameters", name, "default")
        if parameter.default is None:
            raise checker.fault(f"the parameter '{name}' needs a default", "parameters", name, key=True)
    if checker.declaration.fuse is None and len(checker.declaration.models) <= 1:
        return
    try:
        compile_fuse(checker.declaration)
    except ExpressionError as error:
        raise checker.fault(error.message, "fuse", "value", column=error.column) from None
    except SaimaError as error:
        raise checker.fault(str(error), "models", key=True) from None


def check_label(checker: Checker) -> None:
    """Sources, join, value and durations of the label."""
    label = checker.declaration.label
    if label is None:
        return
    sources = checker.declaration.sources
    checker.known("source", label.source, sources, "label", "from")
    if label.exposure is not None:
        checker.known("source", label.exposure, sources, "label", "exposure")
    if label.value is not None:
        fields = sources[label.source].fields
        checker.known(f"field of source '{label.source}'", label.value, fields, "label", "value")
        dtype = parse_type(fields[label.value])
        if not (dtype.is_number or dtype.name in ("bool", "decimal")):
            raise checker.fault(f"a label is a number; '{label.value}' is {dtype}", "label", "value")
    if len(set(label.join)) < len(label.join) or "trace" not in label.join:
        raise checker.fault("join is [trace] or [trace, item]", "label", "join")
    if "item" in label.join and checker.declaration.request.items is None:
        raise checker.fault("join by item needs candidates: declare request.items", "label", "join")
    wait = checker.duration(label.wait, "label", "wait")
    attribution = checker.duration(label.attribution, "label", "attribution", least=1)
    checker.duration(label.lateness, "label", "lateness")
    if label.scheme == "waited" and not wait:
        raise checker.fault("scheme waited needs a wait, such as 'wait: 10m'", "label", "scheme")
    if wait > attribution:
        raise checker.fault(f"wait {label.wait} is longer than attribution {label.attribution}", "label", "wait")


def check_lineages(checker: Checker) -> None:
    """Models that exist, each once; durations."""
    for name, lineage in checker.declaration.lineages.items():
        for place, model in enumerate(lineage.train):
            checker.known("model", model, checker.declaration.models, "lineages", name, "train", place)
            if model in lineage.train[:place]:
                raise checker.fault(f"the model '{model}' stands twice", "lineages", name, "train", place)
        retrain = lineage.retrain
        checker.duration(retrain.interval, "lineages", name, "retrain", "interval")
        if retrain.staleness is not None:
            checker.duration(retrain.staleness, "lineages", name, "retrain", "staleness", least=1)
        if checker.declaration.label is None:
            raise checker.fault(f"the lineage '{name}' trains and there is no 'label:'", "lineages", name, key=True)
