"""Columns of the linker's arrays: open sessions, a batch's rows, its outputs.

The numbers are compiled into the kernel, whose compiled form is kept beside it until `kernel.py` changes.
"""

from __future__ import annotations

import numpy as np

from saima.streams.lateness import BEGINNING
from saima.streams.linking.spec import BEHAVIOUR

PLACES = 5
"""Nodes that an open session holds: session, app, scene, page, and the page left last, which waits for its target."""

LEFT = 4
"""Place of the page left last."""

HISTORY = 8
"""Pages that going back is inferred over, as a browser's history; older ones are forgotten."""

# An open session: one row of int64.
DEPTH, LAST, SEQ, COUNT, CAUSE, SOURCE = range(6)
WAITS, LEFT_AT, LEFT_PARENT, LEFT_CAUSE, LEFT_SOURCE = range(6, 11)
NODE = 11
ENTERED = NODE + PLACES
PATH = ENTERED + PLACES
KIND = PATH + PLACES
DEEP = KIND + PLACES
TRAIL = DEEP + 1
WIDTH = TRAIL + HISTORY

# A row of a batch.
SLOT, LOCAL, TIME, ORDER, OP, NAME, BACK, CLAIMS = range(8)
CLAIMED = 7
"""Hash of the name that an event claims for a level above it: this place plus the level, 1 to 3."""

ROW_WIDTH = 11
LEAVES, CAUSES = 8, 16
"""Bits of OP above the level."""

# An output row.
O_LOCAL, O_SESSION, O_NODE, O_PARENT, O_LEVEL, O_NAME, O_CAUSE, O_ENTERED, O_LEFT = range(9)
O_SOURCE, O_KIND, O_PATH, O_TARGET, O_KNOWN = range(9, 14)
OUT_WIDTH = 14
NONE = -1

# Counts that the kernel keeps.
DISORDERED, TIMEOUTS, SYNTHESISED, NODES, ORPHANS = range(5)
COUNTS = ORPHANS + BEHAVIOUR

ENTERED_KIND, BACK_KIND, SYNTHESISED_KIND = range(3)
KINDS = ("entered", "back", "synthesised")


def blank() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The row of a key without a session."""
    row = np.zeros(WIDTH, dtype=np.int64)
    row[LAST] = row[SEQ] = BEGINNING
    return row
