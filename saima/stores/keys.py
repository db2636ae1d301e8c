"""Keys of the online store: table, zero byte, key; a key too long for LMDB is hashed and kept beside its value."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache

from saima.errors import StoreError

LONGEST = 511
"""Bytes that LMDB allows in a key."""

_LENGTH = struct.Struct("<I")
_HASHED = b"\xff"  # never begins a text in UTF-8
_DIGEST = 32


@lru_cache(maxsize=4096)
def prefix_of(table: str) -> bytes:
    """First bytes of all keys of a table; raises StoreError if the name cannot be one."""
    prefix = table.encode() + b"\0"
    if not table or b"\0" in prefix[:-1] or len(prefix) + 1 + _DIGEST > LONGEST:
        raise StoreError(
            f"'{table[:80]}' cannot name a table of the online store: "
            f"use 1 to {LONGEST - _DIGEST - 2} bytes without a zero byte"
        )
    return prefix


def stored_key(prefix: bytes, key: str) -> tuple[bytes, bool]:
    """Bytes under which a key is stored, and whether they are a hash of it."""
    stored = prefix + key.encode()
    if len(stored) <= LONGEST:
        return stored, False
    return prefix + _HASHED + hashlib.blake2b(key.encode(), digest_size=_DIGEST).digest(), True


def wrap(key: str, value: bytes) -> bytes:
    """Value of a hashed key: it carries the key, so that a scan gives it back."""
    text = key.encode()
    return _LENGTH.pack(len(text)) + text + value


def unpack(value: bytes) -> tuple[str, bytes]:
    """Key and value that `wrap` put together."""
    end = _LENGTH.size + _LENGTH.unpack_from(value)[0]
    return value[_LENGTH.size : end].decode(), value[end:]


def position_key() -> bytes:
    """Where the position of the state is kept; no table's name is empty, so no entity can be there."""
    return b"\0position"


@lru_cache(maxsize=4096)
def table_generation_key(table: str) -> bytes:
    """Where the number of commits that changed a table is kept."""
    return b"\0generation\0" + prefix_of(table)[:-1]
