"""Mistakes in rules, each with the rule, the step and the JSON path."""

from __future__ import annotations

from dataclasses import dataclass

from saima.errors import SaimaError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: JSON path of the value, the step it belongs to ("" for the rule itself), what is wrong."""

    path: str
    step: str
    message: str

    def __str__(self) -> str:
        place = f"step '{self.step}', {self.path}" if self.step else self.path
        return f"{place}: {self.message}"


class RuleError(SaimaError):
    """A rule that cannot be accepted, with every mistake that was found in it."""

    def __init__(self, rule: str, problems: list[Problem]) -> None:
        self.rule = rule
        self.problems = tuple(problems)
        super().__init__("\n".join(f"rule '{rule}', {problem}" for problem in problems))


class Problems:
    """Collects the mistakes of one rule."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, message: str, step: str = "") -> None:
        """Note a mistake."""
        self.found.append(Problem(path, step, message))

    def raise_for(self, rule: str) -> None:
        """Raise RuleError if there is a mistake."""
        if self.found:
            raise RuleError(rule, self.found)
