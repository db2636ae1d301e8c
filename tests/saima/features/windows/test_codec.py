"""Packed entities: they come back equal, and damaged bytes are named, never read as values."""

from __future__ import annotations

import pytest

from saima.errors import StoreError
from saima.features.windows.codec import Codec
from saima.features.windows.definition import HOUR, Group, window
from saima.features.windows.entity import Accumulator, Entity

GROUP = Group(
    "s", ("k",), "v", "string", None, (window("1h"), window("24h")), frozenset({"count", "last_k", "distinct"}), 3, 0
)


def packed() -> bytes:
    entity = Entity()
    Accumulator(GROUP).add(entity, [(place * HOUR // 3, place % 2, f"é{place % 5}") for place in range(90)])
    return Codec(GROUP).pack(entity)


def test_bytes_come_back_as_they_were() -> None:
    codec = Codec(GROUP)
    assert codec.pack(codec.unpack(packed())) == packed()


@pytest.mark.parametrize("cut", [0, 8, 47, 48, 200, -1, -8])
def test_cut_bytes_are_refused(cut: int) -> None:
    with pytest.raises(StoreError, match=r"tile/[0-9a-f]{16}: an entity of \d+ bytes is damaged"):
        Codec(GROUP).open(packed()[:cut])


def test_another_format_is_refused() -> None:
    with pytest.raises(StoreError, match="format 2"):
        Codec(GROUP).open(b"\x02" + packed()[1:])
