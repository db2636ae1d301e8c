"""What a caller of the client may have to handle."""

from __future__ import annotations

from typing import Any


class PredictionError(Exception):
    """A prediction that did not come; `trace` is the decision that was asked for."""

    def __init__(self, message: str, trace: str) -> None:
        self.trace = trace
        super().__init__(message)


class Refused(PredictionError):
    """The host refuses the request as it is: `problem` is its problem document, `field` the JSON pointer it names."""

    def __init__(self, status: int, problem: dict[str, Any], trace: str) -> None:
        self.status = status
        self.problem = problem
        self.field = str(problem.get("field", ""))
        place = f"{self.field}: " if self.field else ""
        super().__init__(f"{status} {place}{problem.get('detail', problem.get('title', 'refused'))}", trace)


class BudgetSpent(PredictionError):
    """The time budget is spent; the message holds the last failure."""
