"""SQLite files that several processes write: how they are opened, and how their failures read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saima.errors import StoreError

BUSY_SECONDS = 30.0
"""How long a writer waits for the others."""

_REASONS = (
    ("disk is full", "the disk is full; free some space and start again, nothing that was acknowledged is lost"),
    ("not a database", "it is not a SQLite file, or its beginning is damaged; restore it from a backup"),
    ("malformed", "the file is damaged or truncated; restore it from a backup"),
    ("disk i/o error", "the file is truncated or the disk fails; restore it from a backup"),
    ("readonly database", "the file may not be written; look at its owner and permissions"),
    ("unable to open", "the file cannot be opened; look at its folder and permissions"),
    ("locked", f"another process has held the write lock for more than {BUSY_SECONDS:.0f} s"),
)


def connect(path: Path, *, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """Open a file in WAL mode and autocommit, so that transactions are begun by name.

    `synchronous`: NORMAL can lose the newest commits with the power, never the file; FULL loses nothing.
    Raises sqlite3.Error: use it inside `failures`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a file without tables takes it
        _enter_wal(connection)
        connection.execute(f"PRAGMA synchronous={synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: it takes the write lock at once, commits at the end, rolls back on an exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def failures(path: Path, doing: str) -> Iterator[None]:
    """Turn a failure of SQLite into a StoreError that says what was done, to which file, and the way out."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(explain(path, doing, error)) from error


def explain(path: Path, doing: str, error: BaseException) -> str:
    """The sentence of such an error.

    >>> explain(Path("events.db"), "append to the event log", sqlite3.OperationalError("database or disk is full"))
    'cannot append to the event log events.db: the disk is full; free some space and start again, nothing that was \
acknowledged is lost'
    """
    text = str(error).lower()
    reason = next((reason for mark, reason in _REASONS if mark in text), str(error))
    return f"cannot {doing} {path}: {reason}"


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; two processes that create a file at once do not wait for each other here by themselves."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return
