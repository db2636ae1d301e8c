"""Hashes that place a unit: the same bits as a scalar (online) and as a Polars expression (batch)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, get_args

import xxhash

if TYPE_CHECKING:
    import polars as pl

Hash = Literal["xxh64", "growthbook_v1", "growthbook_v2", "planout"]

SEPARATOR = "\x1f"
BUCKETS = 10_000
PLACES = [bucket / BUCKETS for bucket in range(BUCKETS)]
"""Position of each bucket in [0, 1)."""

SCALE = float(0xFFFFFFFFFFFFFFF)
"""What PlanOut divides its hash by, a float there as well."""


def bucket(salt: str, unit: str, n: int = BUCKETS) -> int:
    """Bucket of a unit, 0 <= bucket < n: xxh64 of the UTF-8 bytes of salt, U+001F, unit, modulo n.

    Raises ValueError for an empty unit and for a salt that holds the separator.

    >>> bucket("rank", "user-42")
    9077
    """
    return xxhash.xxh64_intdigest(_joined(salt, unit)) % n


def bucket_expr(salt: str, unit: str | pl.Expr, n: int = BUCKETS) -> pl.Expr:
    """`bucket` as a Polars expression over a column of text: uint64, null for a null or empty unit."""
    import polars as pl
    import polars_hash

    _check_salt(salt)
    text = pl.col(unit) if isinstance(unit, str) else unit
    hashed = polars_hash.concat_str(pl.lit(salt + SEPARATOR), text).nchash.xxhash64()
    return pl.when(text.str.len_bytes() > 0).then(hashed % n)


def place(method: str, salt: str, unit: str, n: int = BUCKETS) -> float:
    """Position of a unit in [0, 1) by a named hash; `n` is the number of buckets of xxh64.

    `growthbook_v1` and `growthbook_v2` are GrowthBook's hash versions, `planout` is PlanOut's: for migrations.
    Raises ValueError for an unknown hash, an empty unit, a salt with the separator.
    """
    if method == "xxh64":
        return bucket(salt, unit, n) / n
    _joined(salt, unit)
    if method == "growthbook_v1":
        return _fnv1a32(unit + salt) % 1000 / 1000
    if method == "growthbook_v2":
        return _fnv1a32(str(_fnv1a32(salt + unit))) % 10_000 / 10_000
    if method == "planout":
        return planout(salt, unit) / SCALE
    raise ValueError(f"unknown hash '{method}'; known: {', '.join(get_args(Hash))}")


def planout(salt: str, unit: str) -> int:
    """PlanOut's raw hash: the first 15 hexadecimal digits of SHA-1 of `salt.unit`, as a number."""
    return int(hashlib.sha1(f"{salt}.{unit}".encode(), usedforsecurity=False).hexdigest()[:15], 16)


def _joined(salt: str, unit: str) -> bytes:
    _check_salt(salt)
    if not unit:
        raise ValueError("a unit may not be empty")
    return f"{salt}{SEPARATOR}{unit}".encode()


def _check_salt(salt: str) -> None:
    if SEPARATOR in salt:
        raise ValueError(f"the salt {salt!r} holds U+001F, which separates salt and unit")


def _fnv1a32(text: str) -> int:
    """FNV-1a over UTF-16 code units, as the JavaScript implementations compute it."""
    value = 0x811C9DC5
    units = text.encode("utf-16-le")
    for low, high in zip(units[::2], units[1::2], strict=True):
        value = ((value ^ (low | high << 8)) * 0x01000193) & 0xFFFFFFFF
    return value
