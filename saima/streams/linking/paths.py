"""Hashes of a node's path from its app down: equal paths are equal numbers in every session and on every machine."""

from __future__ import annotations

import numba
import numpy as np
import xxhash

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@numba.njit(cache=True, inline="always")
def step(parent: int, level: int, name: int) -> np.int64:
    """Hash of a path one level deeper, int64: parent's hash (a session's is 0), level, hash of the name.

    Finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014), twice.
    """
    x = np.uint64(parent) * _GOLDEN + np.uint64(level)
    x = (x ^ (x >> _30)) * _FIRST
    x = (x ^ (x >> _27)) * _SECOND
    x = (x ^ (x >> _31)) + np.uint64(name)
    x = (x ^ (x >> _30)) * _FIRST
    x = (x ^ (x >> _27)) * _SECOND
    return np.int64(x ^ (x >> _31))


def name_hash(name: str) -> int:
    """XXH3 of a name's UTF-8, as int64."""
    found = xxhash.xxh3_64_intdigest(name.encode())
    return found - 2**64 if found >= 2**63 else found


EMPTY = name_hash("")
"""Hash of the name of a level that was made up and that nobody named."""
