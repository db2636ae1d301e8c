"""Values of many rows as NumPy holds them, and how an operator's kernel is run on them.

A kernel is an operator's `vector`. Of an operator that nulls pass through it gets plain arrays, (call, *arrays), and
returns an array, or a Vector where it has missing values of its own. An operator that handles nulls itself gets
Vectors and returns one. Arrays broadcast: constants are scalars, values of the one request [k, 1], of items [k, n].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saima.features.types import Type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from saima.features.nodes import Call, Constant
    from saima.features.operators.base import Kernel

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


def missing_of(vector: Vector) -> NDArray[np.bool_] | None:
    """Where values are missing; None: nowhere."""
    return np.isnan(vector.values) if vector.values.dtype.kind == "f" else vector.missing


def either(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Where either is true; None is nowhere."""
    return b if a is None else a if b is None else a | b


def floats(values: NDArray[Any]) -> NDArray[Any]:
    """The values as float64."""
    return values if values.dtype == np.float64 else values.astype(np.float64)


def cast_to(vector: Vector, dtype: Type) -> Vector:
    """The vector as another type that holds all its values; missing stays missing."""
    wanted = dtype_of(dtype)
    values = vector.values if vector.values.dtype == wanted else vector.values.astype(wanted)
    if not dtype.is_float:
        return Vector(values, missing_of(vector))
    if vector.missing is not None:
        values = np.where(vector.missing, wanted(np.nan), values)
    return Vector(values)


Step = Callable[[list[Vector]], Vector]


def step(call: Call, *, check: bool) -> Step:
    """A call as a function of its arguments; `check`: a result that is not finite is missing."""
    kernel = call.operator.vector
    assert kernel is not None
    if call.operator.nulls == "own":
        return lambda vectors: _checked(kernel(call, *vectors)) if check else kernel(call, *vectors)
    if call.type.is_float and all(arg.type.is_float for arg in call.args):
        return _float_step(call, kernel, check)

    def run(vectors: list[Vector]) -> Vector:
        result = kernel(call, *[vector.values for vector in vectors])
        values, own = (result.values, result.missing) if isinstance(result, Vector) else (result, None)
        if values.dtype.kind != "f":
            return Vector(values, reduce(either, map(missing_of, vectors), own))
        missing = reduce(either, [vector.missing for vector in vectors], own)
        if missing is not None:
            values = np.where(missing, values.dtype.type(np.nan), values)
        return Vector(finite(values) if check else values)

    return run


def _float_step(call: Call, kernel: Kernel, check: bool) -> Step:
    """A step from floats to floats, through which NaN goes by itself."""
    if len(call.args) == 2:
        if check:
            return lambda vectors: Vector(finite(kernel(call, vectors[0][0], vectors[1][0])))
        return lambda vectors: Vector(kernel(call, vectors[0][0], vectors[1][0]))
    if check:
        return lambda vectors: Vector(finite(kernel(call, *[vector[0] for vector in vectors])))
    return lambda vectors: Vector(kernel(call, *[vector[0] for vector in vectors]))


def _checked(vector: Vector) -> Vector:
    return Vector(finite(vector.values))


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """The floats with NaN for infinities."""
    infinite = np.isinf(values)
    return np.where(infinite, values.dtype.type(np.nan), values) if infinite.any() else values
