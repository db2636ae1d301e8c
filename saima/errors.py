"""Errors that name the thing, the value, the place and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SaimaError(Exception):
    """Base of every error that a user can cause or mend."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file: 1-based line and column."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class DeclarationError(SaimaError):
    """A declaration that cannot be accepted; `place` says where, `caret` shows the text."""

    def __init__(self, message: str, place: Place | None = None, caret: str = "") -> None:
        self.message = message
        self.place = place
        self.caret = caret
        text = f"{place}: {message}" if place else message
        super().__init__(f"{text}\n{caret}" if caret else text)


class FieldError(ValueError):
    """Fields of a model that do not go together; `path` names, below the model, the one to look at."""

    def __init__(self, message: str, *path: str | int) -> None:
        self.path = path
        super().__init__(message)


class StoreError(SaimaError):
    """A store that cannot be read or written as asked."""


class CorruptSegment(StoreError):
    """A log segment whose checksum does not fit its bytes."""


class PositionError(StoreError):
    """An offset beyond the head of the log, below its tail, or of another generation."""


class Conflict(StoreError):
    """A compare-and-set that lost: somebody else wrote first."""


class BundleError(SaimaError):
    """A bundle that is incomplete, tampered with, or answers differently from its golden requests."""


class RequestError(SaimaError):
    """A request that cannot be answered; `field` is the JSON path of the offending value."""

    def __init__(self, message: str, field: str = "", status: int = 422) -> None:
        self.message = message
        self.field = field
        self.status = status
        super().__init__(f"{field}: {message}" if field else message)


def suggest(name: str, known: Iterable[str]) -> str:
    """Text that proposes the nearest known name, or nothing.

    >>> suggest("smoth", ["smooth", "hit"])
    " (did you mean 'smooth'?)"
    """
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
