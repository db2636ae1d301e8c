"""One compiled interpreter for the programs of all plans: rows are gathered, computed and written in chunks.

A program's rows are (op, out, a, b, c), places of registers; a register holds one value of each row of a chunk: floats,
where NaN is missing, or words (int64; truth is 0 and 1), whose missing values another register marks. A chunk and all
registers stay in the nearest caches. Floats are IEEE 754's, neither contracted nor reordered: NumPy's bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

CHUNK = 64
"""Rows of a chunk, width of a register."""

KEPT_FLOAT, KEPT_WORD, KEPT_MISSING, FRESH_FLOAT, FRESH_WORD = range(5)
"""Kinds of loads: a kept cell as it is, one bit of it, a column of the request."""

(
    ADD, SUBTRACT, MULTIPLY, DIVIDE, FINITE, POSITIVE, NEGATE, ABSOLUTE, SIGN, SQRT, FLOOR, CEIL, CLIP, LEAST, GREATEST,
    PRESENT, CHOOSE, WITHOUT, NARROW, TO_FLOAT, TO_SINGLE, LESS, LESS_EQUAL, EQUAL, NOT_EQUAL, WORD_ADD, WORD_SUBTRACT,
    WORD_MULTIPLY, WORD_ABSOLUTE, WORD_LESS, WORD_LESS_EQUAL, WORD_EQUAL, WORD_NOT_EQUAL, WORD_CHOOSE, AND, OR, AND_NOT,
    STORE, STORE_NARROW, STORE_WORD, STORE_SOME, KEEP, KEEP_WORD,
) = range(43)  # fmt: skip
"""ADD to DIVIDE: with c 1 what is not finite is NaN; DIVIDE by 0 gives NaN. FINITE, POSITIVE: NaN for what is not.
PRESENT: a, or b where a is NaN. CHOOSE: b where a is true, else c. WITHOUT: NaN where b is true. NARROW: the nearest
float32, NaN where that is infinite of a finite one. STORE..: into a column of the matrix; of words those that b marks
as NaN; STORE_NARROW: NARROW, PRESENT and STORE in one. KEEP..: into a wide row."""

ARITHMETIC = (ADD, SUBTRACT, MULTIPLY, DIVIDE)
"""Operations that can make what is not finite missing by themselves."""

_NAN = np.nan
_INFINITE = np.inf

_ints, _words, _floats, _cells = "i4[:,::1]", "i8[:,::1]", "f8[:,::1]", "f4[:,::1]"
_EXECUTE = (
    f"void({_ints},{_ints},f8[::1],i8[::1],{_words},{_floats},{_cells},i8[::1],{_ints},{_ints},{_ints},i8,f4[::1],"
    f"{_floats},{_words},{_cells},{_floats},{_words})"
)


@numba.njit(cache=True, error_model="numpy")
def _copy(source: Any, at: int, stride: int, target: Any, to: int, width: int) -> None:
    """Copy `width` values, `stride` apart in a flat source, to neighbours in a flat target.

    Eight are read before eight are written, at places known to be none below 0: the compiler moves them as vectors.
    """
    q, o, step = np.uint64(at), np.uint64(to), np.uint64(stride)
    end = o + np.uint64(width)
    while o + np.uint64(8) <= end:
        x0, x1, x2, x3 = source[q], source[q + step], source[q + np.uint64(2) * step], source[q + np.uint64(3) * step]
        q += np.uint64(4) * step
        x4, x5, x6, x7 = source[q], source[q + step], source[q + np.uint64(2) * step], source[q + np.uint64(3) * step]
        q += np.uint64(4) * step
        target[o], target[o + np.uint64(1)], target[o + np.uint64(2)], target[o + np.uint64(3)] = x0, x1, x2, x3
        o += np.uint64(4)
        target[o], target[o + np.uint64(1)], target[o + np.uint64(2)], target[o + np.uint64(3)] = x4, x5, x6, x7
        o += np.uint64(4)
    while o < end:
        target[o] = source[q]
        o += np.uint64(1)
        q += step


@numba.njit(_EXECUTE, cache=True, nogil=True, error_model="numpy")
def execute(
    code: Any, loads: Any, floats: Any, words: Any, first: Any, first_floats: Any, kept: Any, places: Any,
    copies: Any, spreads: Any, stores: Any, stored: int, once: Any, fresh: Any, fresh_words: Any, matrix: Any,
    wide: Any, wide_words: Any,
) -> None:  # fmt: skip
    """Run a program on the rows at `places`.

    loads: (kind, out, cell, bit) of what is gathered. floats, words: all registers' values before the first operation,
    the same in each row. first, first_floats: the first cells of all rows, as each sort. kept: the model's columns of
    all rows; copies: runs (from, to, width) of them in the matrix; spreads: runs (to, width) of `once`, a row of the
    matrix; stores: runs of the `stored` columns that operations name by their place among them.
    fresh, fresh_words: columns [k, n] of this request. matrix [n, m], wide, wide_words [k, n]: what is written.
    """
    n = len(places)
    F = np.empty((len(floats), CHUNK), np.float64)  # noqa: N806 - register files
    W = np.empty((len(words), CHUNK), np.int64)  # noqa: N806
    S = np.empty((stored, CHUNK), np.float32)  # noqa: N806 - columns of the matrix
    for i in range(len(floats)):
        F[i] = floats[i]
    for i in range(len(words)):
        W[i] = words[i]
    to_cells, from_cells, stored_cells = matrix.reshape(-1), kept.reshape(-1), S.reshape(-1)
    line, kept_line = matrix.shape[1], kept.shape[1]
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        for j in range(size):
            row, place = (start + j) * line, places[start + j] * kept_line
            for i in range(len(copies)):
                _copy(from_cells, place + copies[i, 0], 1, to_cells, row + copies[i, 1], copies[i, 2])
            for i in range(len(spreads)):
                _copy(once, spreads[i, 0], 1, to_cells, row + spreads[i, 0], spreads[i, 1])
        for i in range(len(loads)):
            kind, out, cell, bit = loads[i, 0], loads[i, 1], loads[i, 2], loads[i, 3]
            if kind == KEPT_FLOAT:
                for j in range(size):
                    F[out, j] = first_floats[places[start + j], cell]
            elif kind == KEPT_WORD:
                for j in range(size):
                    W[out, j] = first[places[start + j], cell]
            elif kind == KEPT_MISSING:
                for j in range(size):
                    W[out, j] = (first[places[start + j], cell] >> bit) & 1
            elif kind == FRESH_FLOAT:
                for j in range(size):
                    F[out, j] = fresh[cell, start + j]
            else:
                for j in range(size):
                    W[out, j] = fresh_words[cell, start + j]
        for at in range(len(code)):
            op, o, a, b, c = code[at, 0], code[at, 1], code[at, 2], code[at, 3], code[at, 4]
            if op == ADD:
                if c == 1:
                    for j in range(CHUNK):
                        x = F[a, j] + F[b, j]
                        F[o, j] = x if abs(x) < _INFINITE else _NAN
                else:
                    for j in range(CHUNK):
                        F[o, j] = F[a, j] + F[b, j]
            elif op == SUBTRACT:
                if c == 1:
                    for j in range(CHUNK):
                        x = F[a, j] - F[b, j]
                        F[o, j] = x if abs(x) < _INFINITE else _NAN
                else:
                    for j in range(CHUNK):
                        F[o, j] = F[a, j] - F[b, j]
            elif op == MULTIPLY:
                if c == 1:
                    for j in range(CHUNK):
                        x = F[a, j] * F[b, j]
                        F[o, j] = x if abs(x) < _INFINITE else _NAN
                else:
                    for j in range(CHUNK):
                        F[o, j] = F[a, j] * F[b, j]
            elif op == DIVIDE:
                if c == 1:
                    for j in range(CHUNK):
                        x = F[a, j] / F[b, j]  # by 0 it is infinite or NaN
                        F[o, j] = x if abs(x) < _INFINITE else _NAN
                else:
                    for j in range(CHUNK):
                        below = F[b, j]
                        F[o, j] = F[a, j] / (below if below != 0.0 else _NAN)
            elif op == FINITE:
                for j in range(CHUNK):
                    x = F[a, j]
                    F[o, j] = x if abs(x) < _INFINITE else _NAN
            elif op == POSITIVE:
                for j in range(CHUNK):
                    x = F[a, j]
                    F[o, j] = x if x > 0.0 else _NAN
            elif op == NEGATE:
                for j in range(CHUNK):
                    F[o, j] = -F[a, j]
            elif op == ABSOLUTE:
                for j in range(CHUNK):
                    F[o, j] = abs(F[a, j])
            elif op == SIGN:
                for j in range(CHUNK):
                    x = F[a, j]
                    F[o, j] = 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0 if x == 0.0 else x
            elif op == SQRT:
                for j in range(CHUNK):
                    F[o, j] = np.sqrt(F[a, j])
            elif op == FLOOR:
                for j in range(CHUNK):
                    F[o, j] = np.floor(F[a, j])
            elif op == CEIL:
                for j in range(CHUNK):
                    F[o, j] = np.ceil(F[a, j])
            elif op == CLIP:
                for j in range(CHUNK):
                    x, low, high = F[a, j], F[b, j], F[c, j]
                    x = low if x < low else x
                    x = high if x > high else x
                    F[o, j] = x if (low == low) & (high == high) else _NAN
            elif op == LEAST:
                for j in range(CHUNK):
                    x, y = F[a, j], F[b, j]
                    F[o, j] = x if (x <= y) | (x != x) else y
            elif op == GREATEST:
                for j in range(CHUNK):
                    x, y = F[a, j], F[b, j]
                    F[o, j] = x if (x >= y) | (x != x) else y
            elif op == PRESENT:
                for j in range(CHUNK):
                    x = F[a, j]
                    F[o, j] = x if x == x else F[b, j]
            elif op == CHOOSE:
                for j in range(CHUNK):
                    x, y = F[b, j], F[c, j]
                    F[o, j] = x if W[a, j] != 0 else y
            elif op == WITHOUT:
                for j in range(CHUNK):
                    F[o, j] = F[a, j] if W[b, j] == 0 else _NAN
            elif op == NARROW:
                for j in range(CHUNK):
                    x = F[a, j]
                    narrow = np.float64(np.float32(x))
                    F[o, j] = narrow if (abs(narrow) < _INFINITE) | (abs(x) == _INFINITE) else _NAN
            elif op == TO_FLOAT:
                for j in range(CHUNK):
                    F[o, j] = np.float64(W[a, j])
            elif op == TO_SINGLE:
                for j in range(CHUNK):
                    F[o, j] = np.float64(np.float32(W[a, j]))
            elif op == LESS:
                for j in range(CHUNK):
                    W[o, j] = F[a, j] < F[b, j]
            elif op == LESS_EQUAL:
                for j in range(CHUNK):
                    W[o, j] = F[a, j] <= F[b, j]
            elif op == EQUAL:
                for j in range(CHUNK):
                    W[o, j] = F[a, j] == F[b, j]
            elif op == NOT_EQUAL:
                for j in range(CHUNK):
                    W[o, j] = F[a, j] != F[b, j]
            elif op == WORD_ADD:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] + W[b, j]
            elif op == WORD_SUBTRACT:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] - W[b, j]
            elif op == WORD_MULTIPLY:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] * W[b, j]
            elif op == WORD_ABSOLUTE:
                for j in range(CHUNK):
                    W[o, j] = abs(W[a, j])
            elif op == WORD_LESS:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] < W[b, j]
            elif op == WORD_LESS_EQUAL:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] <= W[b, j]
            elif op == WORD_EQUAL:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] == W[b, j]
            elif op == WORD_NOT_EQUAL:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] != W[b, j]
            elif op == WORD_CHOOSE:
                for j in range(CHUNK):
                    v, w = W[b, j], W[c, j]
                    W[o, j] = v if W[a, j] != 0 else w
            elif op == AND:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] & W[b, j]
            elif op == OR:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] | W[b, j]
            elif op == AND_NOT:
                for j in range(CHUNK):
                    W[o, j] = W[a, j] & ~W[b, j]
            elif op == STORE:
                for j in range(CHUNK):
                    S[o, j] = np.float32(F[a, j])
            elif op == STORE_NARROW:
                for j in range(CHUNK):
                    x, d = F[a, j], F[b, j]
                    narrow = np.float64(np.float32(x))
                    narrow = narrow if (abs(narrow) < _INFINITE) | (abs(x) == _INFINITE) else d
                    S[o, j] = np.float32(narrow if narrow == narrow else d)
            elif op == STORE_WORD:
                for j in range(CHUNK):
                    S[o, j] = np.float32(W[a, j])
            elif op == STORE_SOME:
                for j in range(CHUNK):
                    x = np.float64(np.float32(W[a, j]))
                    S[o, j] = np.float32(x if W[b, j] == 0 else _NAN)
            elif op == KEEP:
                for j in range(size):
                    wide[o, start + j] = F[a, j]
            elif op == KEEP_WORD:
                for j in range(size):
                    wide_words[o, start + j] = W[a, j]
        for j in range(size):
            for i in range(len(stores)):
                _copy(
                    stored_cells, stores[i, 0] * CHUNK + j, CHUNK, to_cells, (start + j) * line + stores[i, 1],
                    stores[i, 2],
                )  # fmt: skip
