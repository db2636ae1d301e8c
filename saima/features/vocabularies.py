"""Vocabularies: terms in order, each with its id."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from saima.errors import SaimaError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Vocabulary:
    """Terms and their ids: 1-based places, or what the file gives (`term<TAB>id`)."""

    name: str
    ids: dict[str, int] = field(repr=False)

    def __repr__(self) -> str:
        return f"vocabularies.{self.name}"

    @cached_property
    def terms(self) -> pl.Series:
        """Terms as a column."""
        return pl.Series("term", list(self.ids), dtype=pl.String)

    @cached_property
    def values(self) -> pl.Series:
        """Ids as a column."""
        return pl.Series("id", list(self.ids.values()), dtype=pl.Int64)


def from_terms(name: str, terms: list[str]) -> Vocabulary:
    """Vocabulary of terms in order, each perhaps with `<TAB>id`. Raises SaimaError on a repeated term.

    >>> from_terms("carrier", ["9E", "AA"]).ids["AA"]
    2
    """
    ids: dict[str, int] = {}
    for place, line in enumerate(terms, start=1):
        term, tab, given = line.partition("\t")
        if term in ids:
            raise SaimaError(f"'{term}' stands twice, on lines {list(ids).index(term) + 1} and {place}")
        if tab and not given.strip().lstrip("-").isdigit():
            raise SaimaError(f"line {place}: the id of '{term}' is '{given}', not a whole number")
        ids[term] = int(given) if tab else place
    return Vocabulary(name, ids)


def from_file(name: str, path: Path) -> Vocabulary:
    """Vocabulary of a text file, one term a line, UTF-8. Raises SaimaError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise SaimaError(f"'{path.name}' does not exist in '{path.parent.name}'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SaimaError(f"'{path.name}' cannot be read: {error}") from None
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise SaimaError(f"'{path.name}' holds no term")
    return from_terms(name, [line.removesuffix("\r") for line in lines])
