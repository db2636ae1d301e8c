"""Reads at q: the head is exact, what lies behind it is refused, and the drill leaves out what it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from saima.features.windows import Ask, BehindHead, Reader, window
from saima.features.windows.codec import Codec
from saima.features.windows.definition import HOUR, MINUTE, Group
from saima.features.windows.entity import Accumulator, Entity

WINDOWS = (window("1h"), window("6h"))
GROUP = Group("s", ("k",), None, None, None, WINDOWS, frozenset({"count"}), 1, 0)
ASKS = [Ask(f"a.count_{w.text}", "count", w, 1) for w in WINDOWS]
TIMES = [place * MINUTE for place in range(24 * 60)]
LAST = TIMES[-1]


def packed() -> bytes:
    entity = Entity()
    Accumulator(GROUP).add(entity, [(time, 0, None) for time in TIMES])
    return Codec(GROUP).pack(entity)


@pytest.mark.parametrize("q", [LAST + 1, LAST, LAST - 1, LAST - 119 * MINUTE, LAST + 30 * MINUTE, LAST + 7 * HOUR])
def test_a_read_counts_from_the_rounded_tail_to_just_before_q(q: int) -> None:
    expected = [sum(w.tail(q) <= time < q for time in TIMES) for w in WINDOWS]
    assert Reader(GROUP, ASKS).read(packed(), q) == expected


def test_a_read_behind_the_head_names_the_way_out() -> None:
    with pytest.raises(BehindHead, match="raise the lateness of source 's'"):
        Reader(GROUP, ASKS).read(packed(), LAST - 130 * MINUTE)


def test_an_unknown_key_is_empty() -> None:
    assert Reader(GROUP, ASKS).read(None, LAST) == [0, 0]


def test_the_drill_leaves_out_the_first_hop_of_6h_windows() -> None:
    code = (
        f"import runpy; m = runpy.run_path({__file__!r}); r = m['Reader'](m['GROUP'], m['ASKS']);"
        "print(r.read(m['packed'](), m['LAST']))"
    )
    environment = {**os.environ, "SAIMA_FAULT": "parity"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    honest = Reader(GROUP, ASKS).read(packed(), LAST)
    assert done.stdout.strip() == str([honest[0], honest[1] - 5])
