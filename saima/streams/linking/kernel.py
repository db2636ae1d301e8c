"""What an event does to its key's open session: the one home of the linker's meaning, compiled.

Arrays are int64 with the columns of `layout`; strings stay outside and are known here by their place (refs).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from saima.streams.lateness import BEGINNING
from saima.streams.linking.layout import (
    BACK,
    BACK_KIND,
    CAUSE,
    CAUSES,
    CLAIMS,
    COUNT,
    DEEP,
    DEPTH,
    DISORDERED,
    ENTERED,
    ENTERED_KIND,
    HISTORY,
    KIND,
    LAST,
    LEAVES,
    LEFT,
    LEFT_AT,
    LEFT_CAUSE,
    LEFT_PARENT,
    LEFT_SOURCE,
    LOCAL,
    NAME,
    NODE,
    NODES,
    NONE,
    OP,
    ORDER,
    ORPHANS,
    PATH,
    SEQ,
    SLOT,
    SOURCE,
    SYNTHESISED,
    SYNTHESISED_KIND,
    TIME,
    TIMEOUTS,
    TRAIL,
    WAITS,
)
from saima.streams.linking.paths import EMPTY, step
from saima.streams.linking.spec import APP, BEHAVIOUR, PAGE, SESSION

Ints = np.ndarray[Any, np.dtype[np.int64]]


@numba.njit(cache=True)
def link(
    sessions: Ints,
    rows: Ints,
    names: Ints,
    causes: Ints,
    begun: Ints,
    out: Ints,
    counts: Ints,
    gap: int,
    lenient: bool,
    declared: bool,
) -> int:
    """Apply rows in order; the number of output rows.

    names, causes: [locals, PLACES] refs of the strings of open nodes; begun: [locals] refs of session ids. A row's own
    strings have the refs row (name, cause, session), level * rows + row (claimed names), 4 * rows (the empty name).
    """
    made = 0
    for i in range(len(rows)):
        row = rows[i]
        key, local, time = sessions[row[SLOT]], row[LOCAL], row[TIME]
        if key[DEPTH] and time > key[LAST] + gap:
            made = _close(key, local, names, causes, begun, SESSION, key[LAST], out, made)
            counts[TIMEOUTS] += 1
        if key[DEPTH] and (time < key[LAST] or (time == key[LAST] and row[ORDER] < key[SEQ])):
            counts[DISORDERED] += 1
            continue
        level = row[OP] & 7
        if row[OP] & LEAVES:
            wrong = level >= key[DEPTH] or (
                row[CLAIMS] & 1 and level > 0 and step(key[PATH + level - 1], level, row[NAME]) != key[PATH + level]
            )
            if wrong:
                counts[ORPHANS + min(level, key[DEPTH])] += 1
                continue
            key[LAST], key[SEQ] = time, row[ORDER]
            made = _close(key, local, names, causes, begun, level, time, out, made)
            continue
        sound = _sound(key, row, level)
        first = SESSION if declared else APP
        if sound < level and not lenient and not (key[DEPTH] == 0 and level == first):
            counts[ORPHANS + max(int(sound), first)] += 1
            continue
        if key[DEPTH]:
            key[LAST], key[SEQ] = time, row[ORDER]
            made = _close(key, local, names, causes, begun, min(sound, level), time, out, made)
        for missing in range(key[DEPTH], level):
            kind = SYNTHESISED_KIND if missing > SESSION or declared else ENTERED_KIND
            counts[SYNTHESISED] += kind == SYNTHESISED_KIND
            claimed = missing > SESSION and (row[CLAIMS] >> missing) & 1
            ref = missing * len(rows) + i if claimed else 4 * len(rows)
            hashed = row[7 + missing] if claimed else EMPTY
            made = _open(key, row, i, missing, kind, hashed, ref, names, causes, begun, out, made)
        if level == BEHAVIOUR:
            made = _behave(key, row, i, begun, out, made)
        else:
            made = _open(key, row, i, level, ENTERED_KIND, row[NAME], i, names, causes, begun, out, made)
        key[LAST], key[SEQ] = time, row[ORDER]
    counts[NODES] += made
    return made


@numba.njit(cache=True)
def expire(sessions: Ints, slots: Ints, names: Ints, causes: Ints, begun: Ints, out: Ints, counts: Ints) -> int:
    """Close the sessions of slots at their last event, in the given order; the number of output rows."""
    made = 0
    for local in range(len(slots)):
        key = sessions[slots[local]]
        made = _close(key, local, names, causes, begun, SESSION, key[LAST], out, made)
    counts[TIMEOUTS] += len(slots)
    counts[NODES] += made
    return made


@numba.njit(cache=True)
def _sound(key: Ints, row: Ints, level: int) -> np.int64:
    """The first level above `level` that is not open, or whose open node is not the one that the event names."""
    for above in range(1, min(level, key[DEPTH])):
        if (row[CLAIMS] >> above) & 1 and step(key[PATH + above - 1], above, row[7 + above]) != key[PATH + above]:
            return np.int64(above)
    return np.int64(min(level, key[DEPTH]))


@numba.njit(cache=True)
def _open(
    key: Ints,
    row: Ints,
    i: int,
    level: int,
    kind: int,
    hashed: int,
    ref: int,
    names: Ints,
    causes: Ints,
    begun: Ints,
    out: Ints,
    made: int,
) -> int:
    """Open a node below the deepest one; a page is the target of the page left last."""
    local, number = row[LOCAL], key[COUNT]
    if level == SESSION:
        begun[local] = i
        path = np.int64(0)
        key[DEEP], key[CAUSE] = 0, NONE
    else:
        path = step(key[PATH + level - 1], level, hashed)
    if level == PAGE:
        key[SOURCE] = NONE
        if key[WAITS]:
            key[SOURCE] = key[LEFT_CAUSE]
            made = _leave(key, local, names, causes, begun, number, out, made)
        key[CAUSE] = NONE
        if _gone_back(key, path, NONE if kind == SYNTHESISED_KIND else row[BACK]) and kind == ENTERED_KIND:
            kind = BACK_KIND
    key[NODE + level], key[ENTERED + level], key[PATH + level], key[KIND + level] = number, row[TIME], path, kind
    names[local, level], causes[local, level] = ref, i
    key[COUNT], key[DEPTH] = number + 1, level + 1
    return made


@numba.njit(cache=True)
def _gone_back(key: Ints, path: np.int64, told: int) -> np.bool_:
    """Whether a page is gone back to, as told (1, 0) or inferred (NONE); keeps the history as a browser does."""
    deep = key[DEEP]
    back = told == 1 or (told == NONE and deep > 1 and key[TRAIL + deep - 2] == path)
    if back:
        for place in range(deep - 2, -1, -1):
            if key[TRAIL + place] == path:
                key[DEEP] = place + 1
                return np.bool_(True)
    elif deep and key[TRAIL + deep - 1] == path:
        return np.bool_(False)
    if deep == HISTORY:
        for place in range(HISTORY - 1):
            key[TRAIL + place] = key[TRAIL + place + 1]
        deep -= 1
    key[TRAIL + deep] = path
    key[DEEP] = deep + 1
    return np.bool_(back)


@numba.njit(cache=True)
def _behave(key: Ints, row: Ints, i: int, begun: Ints, out: Ints, made: int) -> int:
    """A leaf: written at once."""
    number = key[COUNT]
    key[COUNT] = number + 1
    if row[OP] & CAUSES:
        key[CAUSE] = number
    path = step(key[PATH + PAGE], BEHAVIOUR, row[NAME])
    local, time, page = row[LOCAL], row[TIME], key[NODE + PAGE]
    return _write(out, made, local, begun[local], number, page, BEHAVIOUR, i, i, time, time, NONE, ENTERED_KIND, path)


@numba.njit(cache=True)
def _close(
    key: Ints, local: int, names: Ints, causes: Ints, begun: Ints, down_to: int, time: int, out: Ints, made: int
) -> int:
    """Close the open nodes from the deepest up to level `down_to`; a page is kept until its target is known."""
    for level in range(key[DEPTH] - 1, down_to - 1, -1):
        if level == PAGE:
            for base in (NODE, ENTERED, PATH, KIND):
                key[base + LEFT] = key[base + PAGE]
            key[WAITS], key[LEFT_AT], key[LEFT_PARENT] = 1, time, key[NODE + PAGE - 1]
            key[LEFT_CAUSE], key[LEFT_SOURCE], key[CAUSE] = key[CAUSE], key[SOURCE], NONE
            names[local, LEFT], causes[local, LEFT] = names[local, PAGE], causes[local, PAGE]
            continue
        if level == SESSION and key[WAITS]:
            made = _leave(key, local, names, causes, begun, NONE, out, made)
        parent = NONE if level == SESSION else key[NODE + level - 1]
        made = _write(
            out,
            made,
            local,
            begun[local],
            key[NODE + level],
            parent,
            level,
            names[local, level],
            causes[local, level],
            key[ENTERED + level],
            time,
            NONE,
            key[KIND + level],
            key[PATH + level],
        )
    key[DEPTH] = min(key[DEPTH], down_to)
    if down_to == SESSION:
        key[:] = 0
        key[LAST] = key[SEQ] = BEGINNING
    return made


@numba.njit(cache=True)
def _leave(key: Ints, local: int, names: Ints, causes: Ints, begun: Ints, target: int, out: Ints, made: int) -> int:
    """Write the page left last, with the page that it led to."""
    key[WAITS] = 0
    made = _write(
        out,
        made,
        local,
        begun[local],
        key[NODE + LEFT],
        key[LEFT_PARENT],
        PAGE,
        names[local, LEFT],
        causes[local, LEFT],
        key[ENTERED + LEFT],
        key[LEFT_AT],
        key[LEFT_SOURCE],
        key[KIND + LEFT],
        key[PATH + LEFT],
    )
    out[made - 1, 12] = target
    return made


@numba.njit(cache=True, inline="always")
def _write(
    out: Ints,
    made: int,
    local: int,
    session: int,
    number: int,
    parent: int,
    level: int,
    name: int,
    cause: int,
    entered: int,
    left: int,
    source: int,
    kind: int,
    path: np.int64,
) -> int:
    row = out[made]
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = local, session, number, parent, level, name, cause
    row[7], row[8], row[9], row[10], row[11], row[12] = entered, left, source, kind, path, NONE
    return made + 1
