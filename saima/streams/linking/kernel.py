"""What an event does to its key's open session: the one home of the linker's meaning, compiled.

Arrays are int64 with the columns of `layout`; strings stay outside and are known here by their place (refs).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from saima.streams.lateness import BEGINNING
from saima.streams.linking import layout as at
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
    made = marked = 0
    for i in range(len(rows)):
        row = rows[i]
        key, local, time = sessions[row[at.SLOT]], row[at.LOCAL], row[at.TIME]
        if key[at.DEPTH] and time > key[at.LAST] + gap:
            over = key[at.LAST] + gap
            made = _close(key, local, names, causes, begun, SESSION, key[at.LAST], out, made)
            marked = _mark(out, marked, made, over)
            counts[at.TIMEOUTS] += 1
        if key[at.DEPTH] and (time < key[at.LAST] or (time == key[at.LAST] and row[at.ORDER] < key[at.SEQ])):
            counts[at.DISORDERED] += 1
            continue
        level = row[at.OP] & 7
        if row[at.OP] & at.LEAVES:
            wrong = level >= key[at.DEPTH] or (
                row[at.CLAIMS] & 1
                and level > 0
                and step(key[at.PATH + level - 1], level, row[at.NAME]) != key[at.PATH + level]
            )
            if wrong:
                counts[at.ORPHANS + min(level, key[at.DEPTH])] += 1
                continue
            key[at.LAST], key[at.SEQ] = time, row[at.ORDER]
            made = _close(key, local, names, causes, begun, level, time, out, made)
            marked = _mark(out, marked, made, time)
            continue
        sound = _sound(key, row, level)
        first = SESSION if declared else APP
        if sound < level and not lenient and not (key[at.DEPTH] == 0 and level == first):
            counts[at.ORPHANS + max(int(sound), first)] += 1
            continue
        if key[at.DEPTH]:
            key[at.LAST], key[at.SEQ] = time, row[at.ORDER]
            made = _close(key, local, names, causes, begun, min(sound, level), time, out, made)
        for missing in range(key[at.DEPTH], level):
            kind = at.SYNTHESISED_KIND if missing > SESSION or declared else at.ENTERED_KIND
            counts[at.SYNTHESISED] += kind == at.SYNTHESISED_KIND
            claimed = missing > SESSION and (row[at.CLAIMS] >> missing) & 1
            ref = missing * len(rows) + i if claimed else 4 * len(rows)
            hashed = row[at.CLAIMED + missing] if claimed else EMPTY
            made = _open(key, row, i, missing, kind, hashed, ref, names, causes, begun, out, made)
        if level == BEHAVIOUR:
            made = _behave(key, row, i, begun, out, made)
        else:
            made = _open(key, row, i, level, at.ENTERED_KIND, row[at.NAME], i, names, causes, begun, out, made)
        key[at.LAST], key[at.SEQ] = time, row[at.ORDER]
        marked = _mark(out, marked, made, time)
    counts[at.NODES] += made
    return made


@numba.njit(cache=True)
def expire(
    sessions: Ints, slots: Ints, names: Ints, causes: Ints, begun: Ints, out: Ints, counts: Ints, gap: int
) -> int:
    """Close the sessions of slots at their last event, in the given order; the number of output rows."""
    made = marked = 0
    for local in range(len(slots)):
        key = sessions[slots[local]]
        over = key[at.LAST] + gap
        made = _close(key, local, names, causes, begun, SESSION, key[at.LAST], out, made)
        marked = _mark(out, marked, made, over)
    counts[at.TIMEOUTS] += len(slots)
    counts[at.NODES] += made
    return made


@numba.njit(cache=True, inline="always")
def _mark(out: Ints, marked: int, made: int, time: int) -> int:
    """Say of output rows since the last mark from which time on they are known."""
    for place in range(marked, made):
        out[place, at.O_KNOWN] = time
    return made


@numba.njit(cache=True)
def _sound(key: Ints, row: Ints, level: int) -> np.int64:
    """The first level above `level` that is not open, or whose open node is not the one that the event names."""
    for above in range(1, min(level, key[at.DEPTH])):
        if (row[at.CLAIMS] >> above) & 1 and step(key[at.PATH + above - 1], above, row[at.CLAIMED + above]) != key[
            at.PATH + above
        ]:
            return np.int64(above)
    return np.int64(min(level, key[at.DEPTH]))


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
    local, number = row[at.LOCAL], key[at.COUNT]
    if level == SESSION:
        begun[local] = i
        path = np.int64(0)
        key[at.DEEP], key[at.CAUSE] = 0, at.NONE
    else:
        path = step(key[at.PATH + level - 1], level, hashed)
    if level == PAGE:
        key[at.SOURCE] = at.NONE
        if key[at.WAITS]:
            key[at.SOURCE] = key[at.LEFT_CAUSE]
            made = _leave(key, local, names, causes, begun, number, out, made)
        key[at.CAUSE] = at.NONE
        if _gone_back(key, path, at.NONE if kind == at.SYNTHESISED_KIND else row[at.BACK]) and kind == at.ENTERED_KIND:
            kind = at.BACK_KIND
    key[at.NODE + level], key[at.ENTERED + level], key[at.PATH + level], key[at.KIND + level] = (
        number,
        row[at.TIME],
        path,
        kind,
    )
    names[local, level], causes[local, level] = ref, i
    key[at.COUNT], key[at.DEPTH] = number + 1, level + 1
    return made


@numba.njit(cache=True)
def _gone_back(key: Ints, path: np.int64, told: int) -> np.bool_:
    """Whether a page is gone back to, as told (1, 0) or inferred (NONE); keeps the history as a browser does."""
    deep = key[at.DEEP]
    back = told == 1 or (told == at.NONE and deep > 1 and key[at.TRAIL + deep - 2] == path)
    if back:
        for place in range(deep - 2, -1, -1):
            if key[at.TRAIL + place] == path:
                key[at.DEEP] = place + 1
                return np.bool_(True)
    elif deep and key[at.TRAIL + deep - 1] == path:
        return np.bool_(False)
    if deep == at.HISTORY:
        for place in range(at.HISTORY - 1):
            key[at.TRAIL + place] = key[at.TRAIL + place + 1]
        deep -= 1
    key[at.TRAIL + deep] = path
    key[at.DEEP] = deep + 1
    return np.bool_(back)


@numba.njit(cache=True)
def _behave(key: Ints, row: Ints, i: int, begun: Ints, out: Ints, made: int) -> int:
    """A leaf: written at once."""
    number = key[at.COUNT]
    key[at.COUNT] = number + 1
    if row[at.OP] & at.CAUSES:
        key[at.CAUSE] = number
    path = step(key[at.PATH + PAGE], BEHAVIOUR, row[at.NAME])
    local, time, page = row[at.LOCAL], row[at.TIME], key[at.NODE + PAGE]
    return _write(
        out, made, local, begun[local], number, page, BEHAVIOUR, i, i, time, time, at.NONE, at.ENTERED_KIND, path
    )


@numba.njit(cache=True)
def _close(
    key: Ints, local: int, names: Ints, causes: Ints, begun: Ints, down_to: int, time: int, out: Ints, made: int
) -> int:
    """Close the open nodes from the deepest up to level `down_to`; a page is kept until its target is known."""
    for level in range(key[at.DEPTH] - 1, down_to - 1, -1):
        if level == PAGE:
            for base in (at.NODE, at.ENTERED, at.PATH, at.KIND):
                key[base + at.LEFT] = key[base + PAGE]
            key[at.WAITS], key[at.LEFT_AT], key[at.LEFT_PARENT] = 1, time, key[at.NODE + PAGE - 1]
            key[at.LEFT_CAUSE], key[at.LEFT_SOURCE], key[at.CAUSE] = key[at.CAUSE], key[at.SOURCE], at.NONE
            names[local, at.LEFT], causes[local, at.LEFT] = names[local, PAGE], causes[local, PAGE]
            continue
        if level == SESSION and key[at.WAITS]:
            made = _leave(key, local, names, causes, begun, at.NONE, out, made)
        parent = at.NONE if level == SESSION else key[at.NODE + level - 1]
        made = _write(
            out,
            made,
            local,
            begun[local],
            key[at.NODE + level],
            parent,
            level,
            names[local, level],
            causes[local, level],
            key[at.ENTERED + level],
            time,
            at.NONE,
            key[at.KIND + level],
            key[at.PATH + level],
        )
    key[at.DEPTH] = min(key[at.DEPTH], down_to)
    if down_to == SESSION:
        key[:] = 0
        key[at.LAST] = key[at.SEQ] = BEGINNING
    return made


@numba.njit(cache=True)
def _leave(key: Ints, local: int, names: Ints, causes: Ints, begun: Ints, target: int, out: Ints, made: int) -> int:
    """Write the page left last, with the page that it led to."""
    key[at.WAITS] = 0
    made = _write(
        out,
        made,
        local,
        begun[local],
        key[at.NODE + at.LEFT],
        key[at.LEFT_PARENT],
        PAGE,
        names[local, at.LEFT],
        causes[local, at.LEFT],
        key[at.ENTERED + at.LEFT],
        key[at.LEFT_AT],
        key[at.LEFT_SOURCE],
        key[at.KIND + at.LEFT],
        key[at.PATH + at.LEFT],
    )
    out[made - 1, at.O_TARGET] = target
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
    row[7], row[8], row[9], row[10], row[11], row[12] = entered, left, source, kind, path, at.NONE
    return made + 1
