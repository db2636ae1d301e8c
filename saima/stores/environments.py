"""LMDB environments of this process: opened once a folder, checked before use, closed with their last user."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import IO, Any

import lmdb

from saima.errors import StoreError

MAP_BYTES = 1 << 35
"""Address space reserved for a shard; the file grows as far as its data."""

READERS = 1024
SPARE_TRANSACTIONS = 32
"""Ended read transactions kept for renewal: beginning one anew then costs about a microsecond."""

_open: dict[tuple[int, str], Environment] = {}
_guard = threading.Lock()


class Environment:
    """An open environment, counted by the stores and transactions that use it; after a fork it is no longer usable."""

    def __init__(self, path: Path, create: bool, sync: bool) -> None:
        self.path = path
        self._pid = os.getpid()
        self._users = 0
        marker = path / "format"
        data = path / "data.mdb"
        if not create and not marker.exists():
            raise StoreError(f"the online store {path} does not exist yet; start `saima worker`, which creates it")
        if marker.exists() and not (data.exists() and data.stat().st_size):
            raise StoreError(f"the online store {path} has lost its file data.mdb; run `saima rebuild`")
        try:
            self._lmdb: Any = lmdb.open(
                str(path),
                map_size=MAP_BYTES,
                create=create,
                sync=sync,
                metasync=False,  # one fsync a commit: a power cut may undo the last one, which the log replays
                readahead=False,
                max_readers=READERS,
                max_spare_txns=SPARE_TRANSACTIONS,
            )
        except (lmdb.Error, OSError) as error:
            raise StoreError(explain(path, "open the online store", error)) from error
        try:
            self._check(data)
            self._lmdb.reader_check()
            if create and not marker.exists():
                marker.write_text("1\n")
        except lmdb.Error as error:
            self._lmdb.close()
            raise StoreError(explain(path, "open the online store", error)) from error
        except BaseException:
            self._lmdb.close()
            raise

    def begin(self, write: bool = False) -> Any:
        """A transaction of LMDB; who has ended it calls `release`, since memory under an open one must stay mapped.

        Places of killed readers are freed when none is left.
        """
        with _guard:
            if not self.usable():
                raise StoreError(f"the online store {self.path} has been closed")
            self._users += 1
        try:
            try:
                return self._lmdb.begin(write=write)
            except lmdb.ReadersFullError:
                self._lmdb.reader_check()
                return self._lmdb.begin(write=write)
        except BaseException:
            self.release()
            raise

    def usable(self) -> bool:
        """Whether this process opened it and has not closed it."""
        return self._users > 0 and self._pid == os.getpid()

    def release(self) -> None:
        """Give it back; the last user closes it."""
        with _guard:
            self._users -= 1
            if self._users == 0 and self._pid == os.getpid():
                _open.pop((self._pid, str(self.path)), None)
                self._lmdb.close()

    def _check(self, data: Path) -> None:
        """A page behind the end of a truncated file would kill the process (SIGBUS): refuse it here."""
        needed = (self._lmdb.info()["last_pgno"] + 1) * self._lmdb.stat()["psize"]
        size = data.stat().st_size
        if size < needed:
            raise StoreError(
                f"the online store {self.path} is truncated: data.mdb has {size} of at least {needed} bytes; "
                "run `saima rebuild`"
            )


def acquire(path: Path, *, create: bool, sync: bool) -> Environment:
    """The process's environment of a folder, opened if need be; raises StoreError with the way out."""
    if create:
        path.mkdir(parents=True, exist_ok=True)
    name = (os.getpid(), str(path.resolve()))
    with _guard:
        environment = _open.get(name)
        if environment is None:
            environment = _open[name] = Environment(path.resolve(), create, sync)
        environment._users += 1
        return environment


def lock_writer(path: Path) -> IO[str]:
    """Take the exclusive lock of a shard's writer, held until the file is closed or the process ends.

    Raises StoreError naming the process that holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    handle = (path / "writer.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise StoreError(
            f"the online store {path} already has a writer, process {holder}; one worker a shard: stop it first"
        ) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def explain(path: Path, doing: str, error: BaseException) -> str:
    """The sentence of an error of LMDB."""
    if isinstance(error, lmdb.MapFullError):
        reason = f"its {MAP_BYTES >> 30} GiB are full; add shards, or shorten windows and dedup horizons"
    elif isinstance(error, lmdb.DiskError) or "No space left" in str(error):
        reason = f"the disk is full or failing ({error}); free some space and start again"
    elif isinstance(error, (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)):
        reason = f"data.mdb is damaged or no LMDB file ({error}); run `saima rebuild`"
    else:
        reason = str(error)
    return f"cannot {doing} {path}: {reason}"
