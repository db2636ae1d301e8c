"""Parts of a snapshot as one text of bytes: each behind its length; and frames as parts."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable

import polars as pl

_LENGTH = struct.Struct("<I")


def join(parts: Iterable[bytes]) -> bytes:
    """Parts in one.

    >>> split(join([b"a", b"", b"bc"]))
    [b'a', b'', b'bc']
    """
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def split(data: bytes) -> list[bytes]:
    """The parts that were joined."""
    found, place = [], 0
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        found.append(data[place : place + length])
        place += length
    return found


def packed(frame: pl.DataFrame) -> bytes:
    """A frame as Arrow IPC."""
    sink = io.BytesIO()
    frame.write_ipc(sink)
    return sink.getvalue()


def unpacked(data: bytes) -> pl.DataFrame:
    """The frame that was packed."""
    return pl.read_ipc(io.BytesIO(data))
