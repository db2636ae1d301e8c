"""The spool: one framed append a record, so that a killed process loses nothing that it answered."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FRAME = struct.Struct("<IIQ")
"""Length of the bytes, CRC-32 of number and bytes, number of the record within its boot."""

_NUMBER = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number within the boot, its bytes, where its frame ends in the file."""

    number: int
    data: bytes
    end: int


def frame(number: int, data: bytes) -> bytes:
    """A record's bytes with length, checksum and number before them."""
    return FRAME.pack(len(data), zlib.crc32(data, zlib.crc32(_NUMBER.pack(number))), number) + data


def records(raw: bytes, start: int = 0) -> Iterator[Record]:
    """Whole records of a file's bytes, `start` being the file offset of the first; ends at a torn or spoilt frame."""
    at = 0
    while at + FRAME.size <= len(raw):
        length, checksum, number = FRAME.unpack_from(raw, at)
        first = at + FRAME.size
        data = raw[first : first + length]
        if len(data) < length or zlib.crc32(data, zlib.crc32(_NUMBER.pack(number))) != checksum:
            return
        at = first + length
        yield Record(number, data, start + at)


class Spool:
    """The append side of one boot's spool file, `<folder>/<boot>.spool`; its lock is held until `close`.

    `append` may be called by several threads. A record that the disk refuses is dropped and counted.
    """

    def __init__(self, folder: Path, boot: str, limit: int = 256 << 20) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.boot = boot
        self.path = folder / f"{boot}.spool"
        self.limit = limit
        self.written = 0
        self.dropped = 0
        self.error = ""
        self._size = 0
        self._lock = threading.Lock()
        # It is locked before it has its name: a successor never finds it unlocked.
        fresh = self.path.with_suffix(".fresh")
        self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(self.path)

    def append(self, data: bytes) -> int | None:
        """Append one record with one write and return its number; None where it was dropped."""
        with self._lock:
            if self._size + len(data) > self.limit:
                self._drop(f"the spool is at its limit of {self.limit} bytes: the log takes nothing")
                return None
            framed = frame(self.written, data)
            try:
                done = os.write(self._file, framed)
                if done < len(framed):
                    os.ftruncate(self._file, self._size)
                    self._drop(f"{self.path}: the disk took {done} of {len(framed)} bytes")
                    return None
            except OSError as error:
                self._drop(f"{self.path}: {error.strerror}")
                return None
            self._size += len(framed)
            self.written += 1
            return self.written - 1

    def read(self, start: int, limit: int = 4 << 20) -> list[Record]:
        """Whole records from a file offset on, about `limit` bytes of them."""
        found = list(records(os.pread(self._file, limit, start), start))
        if not found and self._size - start > limit:
            return self.read(start, 4 * limit)
        return found

    def trim(self, drained: int) -> bool:
        """Empty the file if everything in it has been drained; then the next record starts at offset 0 again."""
        with self._lock:
            if not drained or drained != self._size:
                return False
            os.ftruncate(self._file, 0)
            self._size = 0
            return True

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def close(self, remove: bool) -> None:
        """Give the lock back; `remove` deletes the file, for a spool that has been drained to its end."""
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        self.error = reason


def abandoned(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Spools whose boot has ended: (boot, path, file descriptor that holds its lock); the caller closes each.

    The kernel gives a dead process's lock back, so a lock that can be taken is a boot that is gone.
    """
    for path in sorted(folder.glob("*.spool")):
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        if path.exists() and os.fstat(file).st_ino == path.stat().st_ino:
            yield path.stem, path, file
        else:
            os.close(file)
