"""How features fill a model's input tensors: dtype, shape and filling, decided once from the declaration.

The same layouts are checked when a declaration is loaded and filled when a model trains or scores
(saima.learning.tensors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from saima.errors import SaimaError
from saima.features.types import Type, parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.declaration import Model, TensorInput

TENSORS = ("float32", "float64", "int64", "int32", "bool", "string")
"""Element types of tensors."""

UNDIVIDED = "dense"
"""Name of the one tensor of a model whose inputs are a plain list of features."""

Pad = int | float | bool | str


class LayoutFault(SaimaError):
    """Features that cannot fill a tensor; `path` is the place below the model in the declaration."""

    def __init__(self, message: str, *path: str | int) -> None:
        self.message = message
        self.path = path
        super().__init__(message)


@dataclass(frozen=True)
class Layout:
    """How a tensor is filled.

    shape: without the rows; -1 is as long as the batch's longest list. form: `flat` (scalars and vectors side by side),
    `list` (one list a row), `steps` (lists side by side, one step after the other), `ragged` (values of all rows, and
    int64 [n + 1] `<name>_row_splits`). widths: places of a row, or of a step, that each feature fills. lengths: whether
    int64 [n] `<name>_lengths` goes with it. pad: what stands beyond the end of a list.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    features: tuple[str, ...]
    form: Literal["flat", "list", "steps", "ragged"]
    widths: tuple[int, ...]
    pad: Pad
    lengths: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Layout:
        """What `dataclasses.asdict` and JSON made of one."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
        }
        return cls(**fields)

    @property
    def missing(self) -> Pad:
        """What stands where a value is missing: NaN, -1, False or the empty text."""
        by_dtype: dict[str, Pad] = {"float32": math.nan, "float64": math.nan, "bool": False, "string": ""}
        return by_dtype.get(self.dtype, -1)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors that it makes."""
        splits = (f"{self.name}_row_splits",) if self.form == "ragged" else ()
        return (self.name, *splits, *((f"{self.name}_lengths",) if self.lengths else ()))


def layouts(model: Model, dtypes: Mapping[str, str]) -> tuple[Layout, ...]:
    """Layouts of a model's input tensors, in declared order; `dtypes` are the types of the features by name.

    Raises LayoutFault naming the feature and the tensor that do not fit, with the place below the model.
    """
    if isinstance(model.inputs, list):
        return (side_by_side(UNDIVIDED, tuple(model.inputs), dtypes, ("inputs",)),)
    return tuple(
        side_by_side(name, tuple(given), dtypes, ("inputs", name))
        if isinstance(given, list)
        else declared(name, given, dtypes)
        for name, given in model.inputs.items()
    )


def side_by_side(
    name: str, features: tuple[str, ...], dtypes: Mapping[str, str], path: tuple[str | int, ...]
) -> Layout:
    """A plain list of features: float32, scalars and vectors side by side."""
    types = [parse_type(dtypes[feature]) for feature in features]
    for place, (feature, dtype) in enumerate(zip(features, types, strict=True)):
        if _scalar_list(dtype) or _nested(dtype):
            problem = (
                f"'{feature}' is {dtype}: a list needs a tensor of its own, such as {{tensor: int64, shape: [-1]}}"
            )
            raise LayoutFault(problem, *path, place)
        _fits(feature, dtype, "float32", (*path, place))
    widths = tuple(dtype.size if dtype.name == "vector" else 1 for dtype in types)
    return Layout(name, "float32", (sum(widths),), features, "flat", widths, 0.0)


def declared(name: str, given: TensorInput, dtypes: Mapping[str, str]) -> Layout:
    """A tensor with a declared type and shape."""
    features = tuple(given.features or [name])
    types = {feature: parse_type(dtypes[feature]) for feature in features}
    for place, (feature, dtype) in enumerate(types.items()):
        path = ("inputs", name, "features", place) if given.features else ("inputs", name)
        _fits(feature, dtype, given.tensor, path)
    shape = tuple(given.shape)
    form, widths = _form(name, shape, types, given.ragged)
    if form == "flat":
        shape = _resolved(name, shape, sum(widths), types)
        if given.lengths:
            raise LayoutFault(f"'{name}' holds no list whose length could be told", "inputs", name, "lengths")
    elif any(size == -1 for size in shape[1:]):
        raise LayoutFault("only the first size, that of the list, may be -1", "inputs", name, "shape")
    return Layout(name, given.tensor, shape, features, form, widths, _pad(name, given), given.lengths)


def _form(
    name: str, shape: tuple[int, ...], types: Mapping[str, Type], ragged: bool
) -> tuple[Literal["flat", "list", "steps", "ragged"], tuple[int, ...]]:
    listed = [feature for feature, dtype in types.items() if _scalar_list(dtype) or _nested(dtype)]
    place = ("inputs", name, "ragged" if ragged else "shape")
    if ragged:
        if len(types) != 1 or not all(_scalar_list(dtype) for dtype in types.values()) or shape != (-1,):
            raise LayoutFault("a ragged tensor is one list of scalars, of shape [-1]", *place)
        return "ragged", (1,)
    if not listed:
        return "flat", tuple(dtype.size if dtype.name == "vector" else 1 for dtype in types.values())
    first = listed[0]
    if len(listed) < len(types):
        other = next(feature for feature in types if feature not in listed)
        raise LayoutFault(
            f"'{first}' is {types[first]} and '{other}' is {types[other]}: lists and scalars share no tensor", *place
        )
    if len(shape) == 1 and len(types) == 1 and _scalar_list(types[first]):
        return "list", (1,)
    if len(shape) != 2 or shape[1] < 1:
        wanted = "[-1] or [n]" if len(types) == 1 and _scalar_list(types[first]) else "[-1, width] or [n, width]"
        raise LayoutFault(f"'{first}' is {types[first]}; the shape of '{name}' is {wanted}, not {list(shape)}", *place)
    widths = tuple(
        1 if _scalar_list(dtype) else dtype.of.size if dtype.of.name == "vector" else shape[1]
        for dtype in types.values()
    )
    if sum(widths) != shape[1]:
        raise LayoutFault(f"a step of '{name}' holds {sum(widths)} values, its shape says {shape[1]}", *place)
    return "steps", widths


def _resolved(name: str, shape: tuple[int, ...], width: int, types: Mapping[str, Type]) -> tuple[int, ...]:
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) == 1 and width % known == 0:
        return tuple(width // known if size == -1 else size for size in shape)
    if known != width or -1 in shape:
        words = f"'{next(iter(types))}' is 1 value" if width == 1 else f"its features are {width} values"
        raise LayoutFault(f"the shape of '{name}' is {list(shape)}, and {words} a row", "inputs", name, "shape")
    return shape


def _pad(name: str, given: TensorInput) -> Pad:
    kinds = {"float32": (int, float), "float64": (int, float), "bool": (bool,), "string": (str,)}
    kind = kinds.get(given.tensor, (int,))
    if given.pad is None:
        return kind[-1]()
    if not isinstance(given.pad, kind) or (isinstance(given.pad, bool) and bool not in kind):
        raise LayoutFault(f"pad {given.pad!r} is not {given.tensor}", "inputs", name, "pad")
    return given.pad


def _scalar_list(dtype: Type) -> bool:
    return dtype.name == "list" and dtype.of.element is None


def _nested(dtype: Type) -> bool:
    return dtype.name == "list" and dtype.of.element is not None


def _fits(feature: str, dtype: Type, tensor: str, path: tuple[str | int, ...]) -> None:
    inner = dtype
    while inner.is_list and inner.element is not None:
        inner = inner.of
    taken = {
        "float32": inner.is_number or inner.name == "bool",
        "float64": inner.is_number or inner.name == "bool",
        "int64": inner.name in ("int64", "bool", "timestamp"),
        "int32": inner.name in ("int64", "bool"),
        "bool": inner.name == "bool",
        "string": inner.name == "string",
    }[tensor]
    if not taken:
        way = "take its keys or values" if inner.name == "map" else f"cast(..., '{_cast(tensor)}')"
        raise LayoutFault(f"'{feature}' is {dtype} and the tensor is {tensor}; {way}", *path)


def _cast(tensor: str) -> str:
    return "int64" if tensor == "int32" else tensor
