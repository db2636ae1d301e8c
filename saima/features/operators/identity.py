"""Ids: places in a vocabulary, hash buckets, numbers as buckets, boundaries."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import polars_hash as plh

from saima.features.online.vector import numbers as kernels
from saima.features.operators.base import TypeFault, operator
from saima.features.operators.farmhash import fingerprint64
from saima.features.types import INT64, Type

if TYPE_CHECKING:
    from saima.features.nodes import Call
    from saima.features.vocabularies import Vocabulary


def _scalar(call: Call, parameter: str) -> Type:
    dtype = call.arg(parameter).type
    return dtype.of if dtype.is_list else dtype


def _whole(call: Call, parameter: str, least: int) -> None:
    value = call.constants[parameter]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise TypeFault(f"'{parameter}' of {call.operator.name} is a whole number >= {least}, not {value!r}")


def _oov(call: Call) -> Type:
    _whole(call, "oov", -(2**63))
    return INT64


def _lookup_lower(call: Call, x: pl.Expr) -> pl.Expr:
    vocabulary: Vocabulary = call.constants["vocabulary"]
    oov = pl.lit(call.constants["oov"], dtype=pl.Int64)
    found = x.replace_strict(vocabulary.terms, vocabulary.values, default=oov, return_dtype=pl.Int64)
    return pl.when(x.is_not_null()).then(found)


@operator(
    x="text",
    vocabulary="vocabulary",
    oov="constant",
    maps="x",
    returns=_oov,
    bits=63.0,
    lower=_lookup_lower,
    exact=True,
)
def lookup_id(x: str, vocabulary: Vocabulary, oov: int = 0) -> int:
    """1-based place of x in the vocabulary, or the id that its file gives, else oov.

    >>> from saima.features.vocabularies import from_terms
    >>> lookup_id("AA", from_terms("carrier", ["9E", "AA"])), lookup_id("??", from_terms("carrier", ["9E"]))
    (2, 0)
    """
    return vocabulary.ids.get(x, oov)


def _hashed(call: Call) -> Type:
    _whole(call, "n", 1)
    return INT64


def _bucket_bits(call: Call) -> float:
    return math.log2(call.constants["n"]) if call.constants["n"] else 0.0


@operator(
    x="text", n="constant", maps="x", returns=_hashed, bits=_bucket_bits,
    lower=lambda call, x: (farmhash(x) % call.constants["n"]).cast(pl.Int64), exact=True,
)  # fmt: skip
def hash_bucket(x: str, n: int) -> int:
    """FarmHash Fingerprint64 of the UTF-8 text, unsigned, modulo n; as `tf.strings.to_hash_bucket_fast`.

    >>> hash_bucket("abc", 100)
    85
    """
    return fingerprint64(x.encode()) % n


def farmhash(x: pl.Expr) -> pl.Expr:
    """Fingerprint64 of a text column, UInt64."""
    hashed: pl.Expr = plh.NonCryptographicHashingNameSpace(x).farmhash64()
    return hashed


@operator(
    x="int", n="constant", maps="x", returns=_hashed, bits=_bucket_bits,
    lower=lambda call, x: pl.when((x >= 0) & (x < call.constants["n"])).then(x), exact=True, vector=kernels.num_bucket,
)  # fmt: skip
def num_bucket(x: int, n: int) -> int | None:
    """x when 0 <= x < n, else null.

    >>> num_bucket(3, 10), num_bucket(10, 10)
    (3, None)
    """
    return x if 0 <= x < n else None


def _bounds(call: Call) -> Any:
    bounds = call.constants["boundaries"]
    return bounds if isinstance(bounds, tuple) else tuple(float(bound) for bound in bounds)


def _ascending(call: Call) -> Type:
    bounds = _bounds(call)
    if any(a >= b for a, b in pairwise(bounds)):
        raise TypeFault("boundaries ascend")
    return INT64


def _bucketize_lower(call: Call, x: pl.Expr) -> pl.Expr:
    bounds = pl.Series(_bounds(call), dtype=pl.Float64)
    return pl.when(x.is_not_null()).then(pl.lit(bounds).search_sorted(x, side="right").cast(pl.Int64))


@operator(
    x="float",
    boundaries="buckets",
    maps="x",
    returns=_ascending,
    bits=32.0,
    lower=_bucketize_lower,
    exact=True,
    vector=kernels.bucketize,
)
def bucketize(x: float, boundaries: tuple[float, ...]) -> int:
    """Number of boundaries <= x.

    >>> bucketize(1000.0, (250, 500, 1000))
    3
    """
    return bisect_right(boundaries, x)
