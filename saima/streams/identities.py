"""The newest identities in order of their offsets, found by their digests: arrays and a hash table, compiled.

A row is four words: digest (two), time in ms, offset. Rows join at the end and leave at the front. A
place of the table holds a row's number + 1; places of rows that have left stay until `fill` makes the table anew.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

DIGEST, TIME, OFFSET, WORDS = 0, 2, 3, 4
"""Columns of a row, and how many there are."""

HEAD, END, USED, LIVE, NEWEST = 0, 1, 2, 3, 4
"""Of the state: the first row and the one after the last, places used, identities known, newest time."""


@numba.njit("i8(i8[::1],i8[:,::1],i8,i8)", cache=True, nogil=True)
def _place(table: Ints, rows: Ints, first: int, second: int) -> int:
    """The place of a digest in the table, or the free one where it belongs."""
    mask = len(table) - 1
    place = first & mask
    while table[place] and (rows[table[place] - 1, 0] != first or rows[table[place] - 1, 1] != second):
        place = (place + 1) & mask
    return place


@numba.njit("void(i8[::1],i8[::1],i8[:,::1],i8[:,::1],b1[::1],i8,i8,i8)", cache=True, nogil=True)
def judge(
    state: Ints, table: Ints, rows: Ints, given: Ints, again: Bools, horizon: int, chunk: int, chunks: int
) -> None:
    """Set `again` where a given row's digest is known within the horizon (ms) and the last `chunks` of `chunk` offsets;
    rows that are not join `rows`, which has room for them, as the table has."""
    head, end, newest = state[HEAD], state[END], state[NEWEST]
    for i in range(len(given)):
        time, run = given[i, TIME], given[i, OFFSET] // chunk
        oldest = newest - horizon
        newest = max(newest, time)
        place = _place(table, rows, given[i, 0], given[i, 1])
        known = table[place] - 1
        if known >= head:
            if rows[known, TIME] >= oldest and rows[known, OFFSET] // chunk > run - chunks:
                again[i] = True
                continue
        else:
            state[LIVE] += 1
            state[USED] += known < 0
        rows[end] = given[i]
        end += 1
        table[place] = end
    state[END], state[NEWEST] = end, newest


@numba.njit("void(i8[::1],i8[::1],i8[:,::1],i8)", cache=True, nogil=True)
def drop(state: Ints, table: Ints, rows: Ints, upto: int) -> None:
    """Let the rows before `upto` leave."""
    for row in range(state[HEAD], upto):
        state[LIVE] -= table[_place(table, rows, rows[row, 0], rows[row, 1])] == row + 1
    state[HEAD] = upto


@numba.njit("void(i8[::1],i8[::1],i8[:,::1])", cache=True, nogil=True)
def fill(state: Ints, table: Ints, rows: Ints) -> None:
    """Make an empty table of the rows; of those of one digest the last counts."""
    used = 0
    for row in range(state[HEAD], state[END]):
        place = _place(table, rows, rows[row, 0], rows[row, 1])
        used += table[place] == 0
        table[place] = row + 1
    state[USED] = state[LIVE] = used
