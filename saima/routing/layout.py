"""How traffic is divided before experiments are: domains, a holdout, layers, the launch layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from saima.errors import FieldError
from saima.features.durations import milliseconds
from saima.routing.buckets import BUCKETS
from saima.routing.rails import Guardrails

Range = tuple[int, int]


class Strict(BaseModel):
    """Unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Domain(Strict):
    """A part of the traffic, as buckets [a, b) of the layout's own salt; a holdout's units are in no experiment."""

    buckets: Range
    holdout: bool = False


class LayerSettings(Strict):
    """What a layer is beside its experiments.

    A layer without a domain takes all traffic but the holdouts. The launch layer changes defaults: its parameters
    apply first, and any other layer may own them, too. A joint layer is resolved by devices as well: whoever resolves
    first hands on a token, and all its experiments have the layer's one unit.
    """

    domain: str | None = None
    launch: bool = False
    joint: bool = False
    unit: str | None = Field(None, description="Unit of a joint layer's experiments.")
    salt: str = Field("", description="Salt of the layer's buckets; empty: the layer's name.")


class Layout(Strict):
    """`experiments/layout.yaml`: domains and layers of an algorithm. A layer that it does not name has the defaults."""

    unit: str = Field("trace", description="What domains divide: `trace`, or a field of the request or the user.")
    salt: str = Field("domains", description="Salt of the domains' buckets.")
    quarantine: str = Field("7d", description="How long the buckets of an experiment that has ended stay empty.")
    domains: dict[str, Domain] = {}
    layers: dict[str, LayerSettings] = {}
    guardrails: Guardrails = Guardrails()

    @model_validator(mode="after")
    def _consistent(self) -> Layout:
        try:
            milliseconds(self.quarantine)
        except ValueError as error:
            raise FieldError(str(error), "quarantine") from error
        taken: list[tuple[Range, str]] = []
        for name, domain in self.domains.items():
            check_range(domain.buckets, "domains", name, "buckets")
            for other, owner in taken:
                if shared := overlap(domain.buckets, other):
                    raise FieldError(
                        f"domain '{name}' overlaps domain '{owner}' in buckets {list(shared)}; a unit is in one domain",
                        "domains", name, "buckets",
                    )  # fmt: skip
            taken.append((domain.buckets, name))
        for name, layer in self.layers.items():
            if layer.domain is not None and layer.domain not in self.domains:
                known = ", ".join(self.domains) or "none is declared"
                raise FieldError(f"unknown domain '{layer.domain}'; known: {known}", "layers", name, "domain")
            if layer.domain is not None and self.domains[layer.domain].holdout:
                raise FieldError(f"'{layer.domain}' is a holdout: no layer is in it", "layers", name, "domain")
            if layer.joint and layer.unit is None:
                raise FieldError("a joint layer names the one unit that device and host split by", "layers", name)
        return self

    def layer(self, name: str) -> LayerSettings:
        """Settings of a layer, the defaults where it has none."""
        return self.layers.get(name, _DEFAULT)

    def salt_of(self, layer: str) -> str:
        """Salt of a layer's buckets."""
        return self.layer(layer).salt or layer

    def meet(self, one: str, other: str) -> bool:
        """Whether two layers may hold the same unit."""
        first, second = self.layer(one).domain, self.layer(other).domain
        return first is None or second is None or first == second


class Freed(Strict):
    """Buckets of an experiment that has ended, empty until a time (ms UTC), so that its effects wear off."""

    experiment: str
    layer: str
    buckets: Range
    until: int


_DEFAULT = LayerSettings()


M = TypeVar("M", bound=BaseModel)


def altered(model: M, **changes: Any) -> M:
    """A frozen model with other values, checked anew; `model_copy` would keep what was computed from the old ones."""
    return type(model).model_validate({name: getattr(model, name) for name in type(model).model_fields} | changes)


def check_range(buckets: Range, *path: str) -> None:
    """Raise FieldError unless [a, b) is a range of buckets that holds one."""
    first, last = buckets
    if not 0 <= first < last <= BUCKETS:
        raise FieldError(f"buckets {list(buckets)} are not a range [a, b) inside 0..{BUCKETS}", *path)


def overlap(one: Range, other: Range) -> Range | None:
    """Buckets that two ranges share.

    >>> overlap((0, 5000), (4000, 9000))
    (4000, 5000)
    """
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first < last else None


def parameters_of(layers: Mapping[str, Mapping[str, Any]], layout: Layout) -> dict[str, Any]:
    """Parameters by layer as one: those of launch layers first, so that any other wins over them."""
    ordered = sorted(layers, key=lambda name: not layout.layer(name).launch)
    return {key: value for name in ordered for key, value in layers[name].items()}
