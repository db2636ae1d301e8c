"""Values of many rows as NumPy holds them, and how an operator's kernel is run on them.

A kernel is an operator's `vector`: bound to a call it is a function of arrays. Of an operator that nulls pass through
it takes plain arrays and returns one, or a Vector where it has missing values of its own. An operator that handles
nulls itself takes Vectors and returns one. Arrays broadcast: constants are scalars, values of the one request [k, 1],
of items [k, n].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saima.features.nodes import Constant
from saima.features.types import Type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call, Node
    from saima.features.operators.base import Bound

VECTOR_TYPES = frozenset({"int64", "float32", "float64", "bool", "timestamp"})
"""Types that a Vector can hold; a timestamp is its ms."""

_DTYPES: dict[str, type[np.generic]] = {
    "int64": np.int64, "timestamp": np.int64, "float32": np.float32, "float64": np.float64, "bool": np.bool_,
}  # fmt: skip


class Vector(NamedTuple):
    """Values, int64, float or bool; a float is missing where it is NaN, others where `missing` is true (None: nowhere).

    What stands at the place of a missing value is anything.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None


def dtype_of(dtype: Type) -> type[np.generic]:
    """NumPy's dtype of a type that a Vector can hold."""
    return _DTYPES[dtype.name]


def holds(dtype: Type) -> bool:
    """Whether a Vector can hold values of a type."""
    return dtype.name in VECTOR_TYPES


def vectorises(call: Call) -> bool:
    """Whether a call has a kernel for the types of its arguments."""
    return (
        call.operator.vector is not None
        and not call.mapped
        and holds(call.type)
        and all(holds(arg.type) or arg.type.name == "null" for arg in call.args)
    )


def literal(node: Constant) -> Vector:
    """A constant as a scalar."""
    if node.value is None:
        return Vector(np.array(np.nan if node.type.is_float else 0), np.array(True))
    return Vector(np.array(node.value, dtype_of(node.type)))


def some(mask: Any) -> NDArray[np.bool_] | None:
    """The mask; None where nothing of it is true."""
    return mask if np.count_nonzero(mask) else None


def missing_of(vector: Vector) -> NDArray[np.bool_] | None:
    """Where values are missing; None: nowhere."""
    return some(np.isnan(vector.values)) if vector.values.dtype.kind == "f" else vector.missing


def nan_where(mask: Any, values: Any) -> Any:
    """Floats with NaN where the mask is true; None is nowhere."""
    if mask is None or not np.count_nonzero(mask):
        return values
    return np.where(mask, values.dtype.type(np.nan), values)


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """The floats with NaN for infinities."""
    found: NDArray[Any] = nan_where(np.isinf(values), values)
    return found


def either(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Where either is true; None is nowhere."""
    return b if a is None else a if b is None else a | b


def floats(values: NDArray[Any]) -> NDArray[Any]:
    """The values as float64."""
    return values if values.dtype == np.float64 else values.astype(np.float64)


def cast_to(vector: Vector, dtype: Type) -> Vector:
    """The vector as another type that holds all its values; missing stays missing."""
    wanted = dtype_of(dtype)
    values = vector.values if vector.values.dtype.type is wanted else vector.values.astype(wanted)
    if not dtype.is_float:
        return Vector(values, missing_of(vector))
    return Vector(nan_where(vector.missing, values))


Compute = Callable[[Any], Any]
"""From a request's values to those of a node: an array of a float node, where NaN is missing, else a Vector."""


def step(call: Call, args: Sequence[Compute], *, check: bool) -> Compute:
    """A call on what computes its arguments; `check`: a result that is not finite is missing."""
    assert call.operator.vector is not None
    kernel = call.operator.vector(call)
    if call.operator.nulls == "own":
        found = _own_step(call, kernel, args)
    elif call.type.is_float and all(arg.type.is_float for arg in call.args):
        found = _float_step(kernel, args)
    else:
        found = _mixed_step(call, kernel, args)
    return (lambda values: finite(found(values))) if check else found


def _own_step(call: Call, kernel: Bound, args: Sequence[Compute]) -> Compute:
    """A step of an operator that handles nulls itself."""
    vectors = [_as_vector(arg, node.type) for arg, node in zip(args, call.args, strict=True)]
    if call.type.is_float:
        return lambda values: kernel(*[vector(values) for vector in vectors]).values
    return lambda values: kernel(*[vector(values) for vector in vectors])


def _as_vector(compute: Compute, dtype: Type) -> Compute:
    return (lambda values: Vector(compute(values))) if dtype.is_float else compute


def _float_step(kernel: Bound, args: Sequence[Compute]) -> Compute:
    """A step from floats to floats, through which NaN goes by itself."""
    if len(args) == 1:
        only = args[0]
        return lambda values: kernel(only(values))
    if len(args) == 2:
        left, right = args
        return lambda values: kernel(left(values), right(values))
    return lambda values: kernel(*[arg(values) for arg in args])


def _mixed_step(call: Call, kernel: Bound, args: Sequence[Compute]) -> Compute:
    """A step through which nulls pass, from or to what is no float."""
    vectors = [_with_missing(arg, node, call.type.is_float) for arg, node in zip(args, call.args, strict=True)]
    is_float = call.type.is_float

    def run(values: Any) -> Any:
        found = [vector(values) for vector in vectors]
        result = kernel(*[array for array, _ in found])
        missing: NDArray[np.bool_] | None = None
        if type(result) is Vector:
            result, missing = result
        for _, mask in found:
            missing = either(missing, mask)
        return nan_where(missing, result) if is_float else Vector(result, missing)

    return run


def _with_missing(arg: Compute, node: Node, to_float: bool) -> Compute:
    """Values of an argument and where they are missing, unless NaN says so in the result, too."""
    if not node.type.is_float:
        return arg
    if to_float or (isinstance(node, Constant) and node.value is not None):
        return lambda values: (arg(values), None)

    def found(values: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        array = arg(values)
        return array, some(np.isnan(array))

    return found
