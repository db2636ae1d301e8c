"""How calls are written in the machine's operations: by operator, the bits of its NumPy kernel."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from saima.features.nodes import Constant
from saima.features.online.vector import machine
from saima.features.online.vector.registers import Registers, Unsupported, Value
from saima.features.types import FLOAT32, FLOAT64, INT64, Type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saima.features.nodes import Call

_FLOAT = {
    "+": machine.ADD, "-": machine.SUBTRACT, "*": machine.MULTIPLY, "/": machine.DIVIDE, "negate": machine.NEGATE,
    "abs": machine.ABSOLUTE, "sign": machine.SIGN, "sqrt": machine.SQRT, "floor": machine.FLOOR, "ceil": machine.CEIL,
    "min": machine.LEAST, "max": machine.GREATEST,
}  # fmt: skip
_WORD = {"+": machine.WORD_ADD, "-": machine.WORD_SUBTRACT, "*": machine.WORD_MULTIPLY, "abs": machine.WORD_ABSOLUTE}
_COMPARE = {
    "<": (machine.LESS, machine.WORD_LESS), "<=": (machine.LESS_EQUAL, machine.WORD_LESS_EQUAL),
    "==": (machine.EQUAL, machine.WORD_EQUAL), "!=": (machine.NOT_EQUAL, machine.WORD_NOT_EQUAL),
}  # fmt: skip
_TURNED = {">": "<", ">=": "<="}


def emit(call: Call, args: Sequence[Value], to: Registers) -> Value:
    """Write a call; raises Unsupported."""
    name = call.operator.name
    if name in _TURNED or name in _COMPARE:
        return _comparison(call, args, to)
    if name in _SPECIAL:
        found = _SPECIAL[name](call, args, to)
    elif name == "plus":
        found = args[0]
    elif call.type.is_float and name in _FLOAT:
        found = _floating(call, args, to)
    elif call.type == INT64 and name in _WORD:
        found = _whole(call, args, to)
    else:
        raise Unsupported
    if call.type.is_float and call.operator.finite:
        return Value(to.emit(machine.FINITE, found.register), True)
    return found


def missing(to: Registers, *values: Value) -> int | None:
    """Register that marks where any of some words is missing."""
    found = [value.missing for value in values if value.missing is not None]
    return reduce(lambda a, b: to.emit(machine.OR, a, b, floating=False), found) if found else None


def as_type(value: Value, source: Type, target: Type, to: Registers) -> Value:
    """A value as another type that holds all its values; raises Unsupported."""
    if source == target:
        return value
    if target.is_float and not value.floating:
        op = machine.TO_SINGLE if target == FLOAT32 else machine.TO_FLOAT
        register = to.emit(op, value.register)
        if value.missing is None:
            return Value(register, True, known=True)
        return Value(to.emit(machine.WITHOUT, register, value.missing), True)
    if (source, target) == (FLOAT32, FLOAT64) or (not target.is_float and not value.floating and target.name != "bool"):
        return value
    raise Unsupported


def _floating(call: Call, args: Sequence[Value], to: Registers) -> Value:
    op = _FLOAT[call.operator.name]
    if call.operator.name in ("min", "max"):
        if call.type != FLOAT64:
            raise Unsupported
        args = [as_type(value, arg.type, FLOAT64, to) for value, arg in zip(args, call.args, strict=True)]
    if not all(value.floating for value in args):
        raise Unsupported
    if len(args) == 1:
        return Value(to.emit(op, args[0].register), True)
    return reduce(lambda a, b: Value(to.emit(op, a.register, b.register), True), args)


def _whole(call: Call, args: Sequence[Value], to: Registers) -> Value:
    bits = [arg.bits for arg in call.args]
    reach = sum(bits) if call.operator.name == "*" else max(bits) + (len(bits) > 1)
    if reach >= 63 or any(arg.type != INT64 for arg in call.args):
        raise Unsupported
    register = to.emit(_WORD[call.operator.name], *[value.register for value in args], floating=False)
    return Value(register, False, missing(to, *args))


def _comparison(call: Call, args: Sequence[Value], to: Registers) -> Value:
    name = call.operator.name
    a, b = args
    types = [arg.type for arg in call.args]
    if a.floating or b.floating:
        a, b = (as_type(value, dtype, FLOAT64, to) for value, dtype in zip(args, types, strict=True))
    elif types[0] != types[1]:
        raise Unsupported
    floating = a.floating
    marks = [_absent(value, to) for value in (a, b) if not value.known] if floating else [a.missing, b.missing]
    left, right = (b, a) if name in _TURNED else (a, b)
    op = _COMPARE[_TURNED.get(name, name)][0 if floating else 1]
    register = to.emit(op, left.register, right.register, floating=False)
    return Value(register, False, missing(to, *[Value(0, False, mark) for mark in marks]))


def _absent(value: Value, to: Registers) -> int:
    return to.emit(machine.NOT_EQUAL, value.register, value.register, floating=False)


def _both(_: Call, args: Sequence[Value], to: Registers) -> Value:
    """Kleene and: a side that is missing counts as true until another is false."""
    return reduce(lambda a, b: _kleene(a, b, to, machine.OR, machine.AND, machine.AND), args)


def _any(_: Call, args: Sequence[Value], to: Registers) -> Value:
    """Kleene or: a side that is missing counts as false until another is true."""
    return reduce(lambda a, b: _kleene(a, b, to, machine.AND_NOT, machine.OR, machine.AND_NOT), args)


def _kleene(a: Value, b: Value, to: Registers, fill: int, join: int, open_: int) -> Value:
    """fill: of a side and where it is missing, as what it counts; join: of both; open_: where that is still open."""
    gone = missing(to, a, b)
    x, y = (
        one.register if one.missing is None else to.emit(fill, one.register, one.missing, floating=False)
        for one in (a, b)
    )
    register = to.emit(join, x, y, floating=False)
    return Value(register, False, None if gone is None else to.emit(open_, gone, register, floating=False))


def _not(_: Call, args: Sequence[Value], to: Registers) -> Value:
    zero = to.number(0, False)
    return Value(to.emit(machine.WORD_EQUAL, args[0].register, zero, floating=False), False, args[0].missing)


def _choose(call: Call, args: Sequence[Value], to: Registers) -> Value:
    test, then, otherwise = args
    plain = [arg.value if isinstance(arg, Constant) and arg.type == INT64 else None for arg in call.args[1:]]
    if call.type == INT64 and plain == [1, 0]:
        return test
    a, b = (
        as_type(value, arg.type, call.type, to) for value, arg in zip((then, otherwise), call.args[1:], strict=True)
    )
    if call.type.is_float:
        register = to.emit(machine.CHOOSE, test.register, a.register, b.register)
        return Value(register if test.missing is None else to.emit(machine.WITHOUT, register, test.missing), True)
    register = to.emit(machine.WORD_CHOOSE, test.register, a.register, b.register, floating=False)
    gone: int | None = None
    if a.missing is not None or b.missing is not None:
        x, y = (to.number(0, False) if one.missing is None else one.missing for one in (a, b))
        gone = to.emit(machine.WORD_CHOOSE, test.register, x, y, floating=False)
    return Value(register, False, missing(to, Value(0, False, gone), test))


def _coalesce(call: Call, args: Sequence[Value], to: Registers) -> Value:
    x, d = (as_type(value, arg.type, call.type, to) for value, arg in zip(args, call.args, strict=True))
    if call.type.is_float:
        return Value(to.emit(machine.PRESENT, x.register, d.register), True, known=d.known)
    if x.missing is None:
        return x
    register = to.emit(machine.WORD_CHOOSE, x.missing, d.register, x.register, floating=False)
    gone = None if d.missing is None else to.emit(machine.AND, x.missing, d.missing, floating=False)
    return Value(register, False, gone)


def _is_null(_: Call, args: Sequence[Value], to: Registers) -> Value:
    if args[0].floating:
        return Value(_absent(args[0], to), False)
    return Value(to.number(0, False) if args[0].missing is None else args[0].missing, False)


def _cast(call: Call, args: Sequence[Value], to: Registers) -> Value:
    source, target = call.args[0].type, call.type
    if source == FLOAT64 and target == FLOAT32:
        return Value(to.emit(machine.NARROW, args[0].register), True)
    return as_type(args[0], source, target, to)


def _clip(call: Call, args: Sequence[Value], to: Registers) -> Value:
    if call.type != FLOAT64:
        raise Unsupported
    x, low, high = (as_type(value, arg.type, FLOAT64, to) for value, arg in zip(args, call.args, strict=True))
    return Value(to.emit(machine.CLIP, x.register, low.register, high.register), True)


def _smooth(_: Call, args: Sequence[Value], to: Registers) -> Value:
    n, d, a, b, *scale = _floats(args)
    above = to.emit(machine.ADD, n, a)
    if scale:
        above = to.emit(machine.MULTIPLY, scale[0], above)
    return Value(to.emit(machine.DIVIDE, above, to.emit(machine.POSITIVE, to.emit(machine.ADD, d, b))), True)


def _zscore(_: Call, args: Sequence[Value], to: Registers) -> Value:
    x, mean, sd = _floats(args)
    above = to.emit(machine.SUBTRACT, x, mean)
    return Value(to.emit(machine.DIVIDE, above, to.emit(machine.POSITIVE, sd)), True)


def _minmax(_: Call, args: Sequence[Value], to: Registers) -> Value:
    x, low, high = _floats(args)
    above = to.emit(machine.SUBTRACT, x, low)
    return Value(to.emit(machine.DIVIDE, above, to.emit(machine.SUBTRACT, high, low)), True)


def _floats(args: Sequence[Value]) -> list[int]:
    if not all(value.floating for value in args):
        raise Unsupported
    return [value.register for value in args]


_SPECIAL: dict[str, Callable[[Call, Sequence[Value], Registers], Value]] = {
    "and": _both, "or": _any, "not": _not, "if": _choose, "coalesce": _coalesce, "is_null": _is_null, "cast": _cast,
    "as": _cast, "clip": _clip, "smooth": _smooth, "zscore": _zscore, "minmax": _minmax,
}  # fmt: skip
