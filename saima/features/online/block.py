"""Features of some candidates that one float32 matrix holds exactly: what the journal copies instead of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = {"float32": "f", "int64": "i", "bool": "b"}
"""Types whose values a block may hold, and the letter of each."""

_EXACT = 2.0**24
"""Whole numbers below it are exact in float32."""


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of features: their names, a letter of KINDS for each, values [rows, names]; NaN is missing."""

    names: Sequence[str]
    kinds: str
    matrix: NDArray[np.float32]

    @classmethod
    def of(cls, names: Sequence[str], kinds: str, matrix: NDArray[np.float32]) -> Block:
        """The columns of a matrix that are exact: all but those of whole numbers with one that is too large."""
        with np.errstate(invalid="ignore"):
            large: NDArray[np.bool_] = np.any(np.abs(matrix) >= _EXACT, axis=0)
        if not large.any():
            return cls(names, kinds, matrix)
        held = [place for place, kind in enumerate(kinds) if kind == "f" or not large[place]]
        return cls([names[place] for place in held], "".join(kinds[place] for place in held), matrix[:, held])
