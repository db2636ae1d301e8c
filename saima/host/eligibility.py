"""Who may enter an experiment: its eligibility, an expression of the feature language over request and user fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saima.features.declaration import Request
from saima.features.expression import compile_expression, interpret
from saima.features.nodes import Node
from saima.routing.checks import fields_scope
from saima.routing.experiments import Experiment


class Eligibility:
    """Judges experiments of one declaration; expressions are compiled once.

    A missing value makes a comparison missing, and missing is not eligible. Raises ExpressionError for an expression
    that does not fit the declared fields.
    """

    def __init__(self, declared: Request) -> None:
        self._scope = fields_scope({**declared.user, **declared.fields})
        self._nodes: dict[str, Node] = {}

    def __call__(self, experiment: Experiment, context: Mapping[str, Any]) -> bool:
        """Whether the request with these fields may enter."""
        text = experiment.eligibility
        if text is None:
            return True
        node = self._nodes.get(text)
        if node is None:
            node = self._nodes[text] = compile_expression(text, self._scope)
        return interpret(node, context) is True
