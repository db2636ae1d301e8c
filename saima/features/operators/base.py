"""What an operator is: a signature, a type rule, a null rule, a Polars lowering and a plain-Python reference."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from saima.errors import SaimaError
from saima.features.types import Type, parse_type

if TYPE_CHECKING:
    import polars as pl

    from saima.features.nodes import Call

Reference = Callable[..., Any]
Lowering = Callable[..., "pl.Expr"]
Bound = Callable[..., Any]
Kernel = Callable[["Call"], Bound]
Rule = Callable[["Call"], Type]

KINDS = (
    "any", "bool", "buckets", "constant", "float", "int", "list", "list<bool>", "list<float>", "list<number>",
    "list<text>", "map", "number", "string", "terms", "text", "timestamp", "vocabulary",
)  # fmt: skip
"""Kinds of parameters: `float` takes any number and sees float64, `number` keeps it, `text` takes what has one
text and sees a string, `terms` takes anything and sees the keys of a map, as every kind of list does, `constant` is
known at compile time, `vocabulary` and `buckets` are resources."""

Decimals = Literal["refuse", "align", "multiply", "float"]
Counted = Literal["nulls", "lengths"]

CONSTANT_KINDS = ("constant", "vocabulary", "buckets")


class TypeFault(SaimaError):
    """A type rule that refuses a call; `parameter` is the argument at fault, None the call itself."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(message)


@dataclass(frozen=True, eq=False)
class Operator:
    """A registered operator; call it to run the reference.

    name: as in expressions. kinds: kind of each parameter. returns: type, or rule on the bound call.
    lower: (call, *exprs) -> expression; arguments arrive coerced and without NaN.
    unchecked: as `lower`, without a check of its own of what does not fit, where that is known to fit or checked later.
    nulls: 'pass' gives null where an argument is missing, 'own' leaves that to the operator (its lowering too).
    finite: a float result that is not finite becomes null. propagates: what is not finite stays so through it
    (arithmetic), so the check may wait. maps: parameter over whose elements the operator maps if it gets a list.
    implicit: parameters that are request.time unless given. bits: bound of the result's magnitude.
    exact: reference and lowering agree bit for bit (integers, text, IEEE arithmetic), so either may run.
    decimals: how decimals are taken: refused, brought to one scale with their fellows in `aligned` (all parameters if
    that is empty; floats among them make all float64), multiplied as they are, or seen as float64.
    counted: outside its domain the result is null and counted; 'nulls': where it is null of present arguments (of a
    list, each such element), 'lengths': where the lengths of its lists differ.
    vector: call -> (*arrays) -> array, the lowering's bits in NumPy, or None; see `online.vector.values`.
    """

    name: str
    family: str
    reference: Reference
    kinds: dict[str, str]
    returns: Type | Rule
    lower: Lowering
    unchecked: Lowering | None = None
    nulls: Literal["pass", "own"] = "pass"
    finite: bool = True
    propagates: bool = False
    maps: str | None = None
    implicit: tuple[str, ...] = ()
    bits: Callable[[Call], float] | None = None
    hidden: bool = False
    exact: bool = False
    decimals: Decimals = "refuse"
    aligned: tuple[str, ...] = ()
    counted: Counted | None = None
    vector: Kernel | None = None
    parameters: dict[str, inspect.Parameter] = field(default_factory=dict)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Reference implementation on plain Python values."""
        return self.reference(*args, **kwargs)

    @property
    def signature(self) -> str:
        """Signature as text."""
        return f"{self.name}{inspect.signature(self.reference)}"

    def run(self, values: list[Any], names: tuple[str, ...], constants: dict[str, Any]) -> Any:
        """Reference on one row's values, with the rules of nulls, domains and finite results."""
        if self.nulls == "pass" and any(value is None for value in values):
            return None
        positional: list[Any] = []
        keywords: dict[str, Any] = dict(constants)
        for name, value in zip(names, values, strict=True):
            if self.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                positional.append(value)
            else:
                keywords[name] = value
        try:
            result = self.reference(*positional, **keywords)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        if isinstance(result, float) and (math.isnan(result) or (self.finite and math.isinf(result))):
            return None
        return result


def operator(
    *,
    returns: str | Rule,
    lower: Lowering,
    name: str | None = None,
    unchecked: Lowering | None = None,
    nulls: Literal["pass", "own"] = "pass",
    finite: bool = True,
    propagates: bool = False,
    maps: str | None = None,
    implicit: tuple[str, ...] = (),
    bits: Callable[[Call], float] | float | None = None,
    hidden: bool = False,
    exact: bool = False,
    decimals: Decimals = "refuse",
    aligned: tuple[str, ...] = (),
    counted: Counted | None = None,
    vector: Kernel | None = None,
    **kinds: str,
) -> Callable[[Reference], Operator]:
    """Declare an operator from its reference; the keyword arguments are the kinds of its parameters.

    A user's `operators.py` uses the same decorator. `returns` is a type's text or a rule on the bound call.
    """

    def declare(reference: Reference) -> Operator:
        parameters = dict(inspect.signature(reference).parameters)
        if set(parameters) != set(kinds) or not set(kinds.values()) <= set(KINDS):
            raise TypeError(f"operator '{reference.__name__}': each parameter needs one kind of {', '.join(KINDS)}")
        bound = bits if callable(bits) or bits is None else _always(bits)
        return Operator(
            name=name or reference.__name__.rstrip("_"),
            family=reference.__module__.rsplit(".", 1)[-1],
            reference=reference,
            kinds=dict(kinds),
            returns=parse_type(returns) if isinstance(returns, str) else returns,
            lower=lower,
            unchecked=unchecked,
            nulls=nulls,
            finite=finite,
            propagates=propagates,
            maps=maps,
            implicit=implicit,
            bits=bound,
            hidden=hidden,
            exact=exact,
            decimals=decimals,
            aligned=aligned,
            counted=counted,
            vector=vector,
            parameters=parameters,
        )

    return declare


def _always(bits: float) -> Callable[[Call], float]:
    return lambda _: bits


def same_as(parameter: str) -> Rule:
    """Type rule: the type of an argument."""
    return lambda call: call.arg(parameter).type


def element_of(parameter: str) -> Rule:
    """Type rule: the type of a list argument's elements."""
    return lambda call: call.arg(parameter).type.of
