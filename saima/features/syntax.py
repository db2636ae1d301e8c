"""Expressions of the feature language: Python's expression syntax, parsed and never evaluated."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from saima.errors import SaimaError

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["syntax", "forbidden", "name", "arity", "type", "cycle"]
MAX_CHARACTERS = 10_000
MAX_DEPTH = 100


class ExpressionError(SaimaError):
    """An expression that cannot be accepted: its kind, its 1-based column in characters, a near valid name."""

    def __init__(self, kind: Kind, message: str, column: int = 1, suggestion: str | None = None) -> None:
        self.kind = kind
        self.message = f"{message} (did you mean '{suggestion}'?)" if suggestion else message
        self.column = column
        self.suggestion = suggestion
        super().__init__(self.message)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Nearest known name, or None."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: number, text, bool, None, a list or a dictionary of them."""

    value: Any
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name."""

    parts: tuple[str, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator with its arguments; arithmetic, comparisons and conditions are operators too."""

    operator: str
    args: tuple[Tree, ...]
    keywords: tuple[tuple[str, Tree, int], ...]
    column: int
    symbolic: bool = False


Tree = Constant | Name | Apply

BINARY: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip
COMPARE: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Eq: "==", ast.NotEq: "!=", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
UNARY: dict[type[ast.AST], str] = {ast.USub: "negate", ast.UAdd: "plus", ast.Not: "not"}


def parse(text: str) -> Tree:
    """Tree of an expression. Raises ExpressionError of kind syntax or forbidden."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError("syntax", f"an expression has at most {MAX_CHARACTERS} characters, this one {len(text)}")
    flat = text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    lead = len(flat) - len(flat.lstrip())
    body = flat.strip()
    if not body:
        raise ExpressionError("syntax", "the expression is empty")
    if any("\ud800" <= character <= "\udfff" for character in body):
        raise ExpressionError("syntax", "not an expression: half of a surrogate pair is no character", lead + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's own texts, such as '\\d' in a regular expression
            tree = ast.parse(body, mode="eval")
    except SyntaxError as error:
        raise ExpressionError("syntax", f"not an expression: {error.msg}", lead + max(error.offset or 1, 1)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError("syntax", f"not an expression: {error or 'nested too deeply'}", lead + 1) from None
    return _Parser(body, lead).tree(tree.body, 0)


class _Parser:
    def __init__(self, text: str, lead: int) -> None:
        self.bytes = text.encode()
        self.lead = lead

    def column(self, node: ast.AST) -> int:
        offset: int = getattr(node, "col_offset", 0)
        return self.lead + len(self.bytes[:offset].decode()) + 1

    def tree(self, node: ast.expr, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise ExpressionError("forbidden", f"nested more than {MAX_DEPTH} deep", self.column(node))
        column = self.column(node)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return Constant(value, column)
            case ast.Name() | ast.Attribute():
                return Name(self.dotted(node), column)
            case ast.List() | ast.Tuple() | ast.Dict():
                return Constant(self.literal(node), column)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                return Apply(UNARY[type(op)], (self.tree(operand, depth + 1),), (), column, symbolic=True)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return self.apply(BINARY[type(op)], (left, right), column, depth)
            case ast.BoolOp(op=op, values=values):
                name = "and" if isinstance(op, ast.And) else "or"
                return self.apply(name, tuple(values), column, depth)
            case ast.Compare():
                return self.comparison(node, depth)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.apply("if", (test, body, orelse), column, depth)
            case ast.Subscript(value=value, slice=index):
                return self.subscript(value, index, column, depth)
            case ast.Call():
                return self.call(node, depth)
        raise ExpressionError("forbidden", f"{_describe(node)} is not part of the feature language", column)

    def apply(self, name: str, nodes: tuple[ast.expr, ...], column: int, depth: int) -> Apply:
        return Apply(name, tuple(self.tree(node, depth + 1) for node in nodes), (), column, symbolic=True)

    def dotted(self, node: ast.expr) -> tuple[str, ...]:
        column = self.column(node)
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise ExpressionError("forbidden", "an attribute of something that is not a name", column)
        parts.append(node.id)
        for part in parts:
            if part.startswith("__"):
                raise ExpressionError(
                    "forbidden", f"'{part}': names that start with two underscores are refused", column
                )
        return tuple(reversed(parts))

    def literal(self, node: ast.expr, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise ExpressionError("forbidden", f"nested more than {MAX_DEPTH} deep", self.column(node))
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(
                value, bool
            ):
                return -value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.literal(item, depth + 1) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {
                    self.key(key, node): self.literal(item, depth + 1) for key, item in zip(keys, values, strict=True)
                }
        raise ExpressionError("forbidden", "a list or dictionary holds constants only", self.column(node))

    def key(self, node: ast.expr | None, mapping: ast.Dict) -> Any:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise ExpressionError("forbidden", "the keys of a dictionary are texts", self.column(node or mapping))
        return node.value

    def comparison(self, node: ast.Compare, depth: int) -> Apply:
        column = self.column(node)
        trees = [self.tree(side, depth + 1) for side in (node.left, *node.comparators)]
        parts: list[Tree] = []
        for op, left, right in zip(node.ops, trees, trees[1:], strict=False):
            if type(op) not in COMPARE:
                raise ExpressionError(
                    "forbidden", "'is' is not part of the feature language; write == or is_null(x)", column
                )
            parts.append(Apply(COMPARE[type(op)], (left, right), (), left.column, symbolic=True))
        if len(parts) == 1 and isinstance(parts[0], Apply):
            return parts[0]
        return Apply("and", tuple(parts), (), column, symbolic=True)

    def subscript(self, value: ast.expr, index: ast.expr, column: int, depth: int) -> Apply:
        inner = self.tree(value, depth + 1)
        if isinstance(index, ast.Slice):
            if index.step is not None:
                raise ExpressionError("forbidden", "a slice has no step", self.column(index.step))
            bounds = [
                Constant(None, column) if part is None else self.tree(part, depth + 1)
                for part in (index.lower, index.upper)
            ]
            return Apply("slice", (inner, *bounds), (), column)
        return Apply("[]", (inner, Constant(self.literal(index), self.column(index))), (), column, symbolic=True)

    def call(self, node: ast.Call, depth: int) -> Apply:
        column = self.column(node)
        if not isinstance(node.func, ast.Name):
            raise ExpressionError("forbidden", "only operators are called, by their plain name", column)
        if node.func.id.startswith("__"):
            raise ExpressionError(
                "forbidden", f"'{node.func.id}': names that start with two underscores are refused", column
            )
        keywords: list[tuple[str, Tree, int]] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                raise ExpressionError("forbidden", "arguments are not unpacked", self.column(argument))
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ExpressionError("forbidden", "arguments are not unpacked", self.column(keyword))
            keywords.append((keyword.arg, self.tree(keyword.value, depth + 1), self.column(keyword)))
        args = tuple(self.tree(argument, depth + 1) for argument in node.args)
        return Apply(node.func.id, args, tuple(keywords), column)


def _describe(node: ast.AST) -> str:
    names = {
        "Lambda": "a lambda", "ListComp": "a comprehension", "SetComp": "a comprehension",
        "DictComp": "a comprehension",
        "GeneratorExp": "a comprehension", "JoinedStr": "a formatted string", "NamedExpr": "an assignment",
        "Await": "await", "Yield": "yield", "YieldFrom": "yield", "Set": "a set", "Starred": "unpacking",
        "Constant": "this constant",
    }  # fmt: skip
    return names.get(
        type(node).__name__, "the operator" if isinstance(node, ast.BinOp | ast.UnaryOp) else type(node).__name__
    )
