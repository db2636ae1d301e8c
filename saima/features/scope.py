"""Names that an expression may use, and what each one means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from saima.features.operators import OPERATORS
from saima.features.syntax import ExpressionError, Name, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saima.features.nodes import Node
    from saima.features.operators.base import Operator


@dataclass(frozen=True)
class Scope:
    """Names that an expression may use.

    names: dotted name -> node. bare: plain name -> the dotted names that it may mean (more than one: ambiguous).
    time: node of request.time, where there is one. operators: by name.
    """

    names: Mapping[str, Node]
    bare: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time: Node | None = None
    operators: Mapping[str, Operator] = field(default_factory=lambda: OPERATORS)

    def resolve(self, name: Name) -> Node:
        """Node of a name. Raises ExpressionError of kind name."""
        dotted = ".".join(name.parts)
        found = self.bare.get(dotted, ())
        if len(found) > 1:
            raise ExpressionError("name", f"'{dotted}' is ambiguous: write {' or '.join(found)}", name.column)
        if found:
            return self.names[found[0]]
        if dotted in self.names:
            return self.names[dotted]
        space = name.parts[0] + "."
        members = [known.removeprefix(space) for known in self.names if known.startswith(space)]
        if members and len(name.parts) > 1:
            rest = ".".join(name.parts[1:])
            raise ExpressionError("name", f"'{name.parts[0]}' has no '{rest}'", name.column, nearest(rest, members))
        known = {*self.bare, *self.names, *(text.split(".")[0] for text in self.names)}
        if len(name.parts) == 1 and name.parts[0] in {text.split(".")[0] for text in self.names}:
            example = members[0] if members else "..."
            raise ExpressionError("name", f"'{dotted}' has fields; write one, such as {dotted}.{example}", name.column)
        raise ExpressionError("name", f"unknown name '{dotted}'", name.column, nearest(dotted, known))
