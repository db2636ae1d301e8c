"""Tables on Delta Lake: append at most once, replace, merge, scan with time travel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from saima.errors import Conflict, StoreError, suggest
from saima.stores.columns import align, restored, storable

PARTITION = "day"
"""A table whose first rows have this column is partitioned by it."""

_TRIES = 8


class DeltaTables:
    """Tables of one folder, by name such as `events/flight_departed`.

    Appends keep their handle and bring it up to date, which takes a tenth of opening the table anew; a table whose
    folder was replaced is opened anew, since its handle would trust a past that is gone.
    `Datetime("ms", "UTC")` comes back as such, unsigned integers one size wider, categories as text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._writers: dict[str, tuple[int, DeltaTable]] = {}

    def append(self, name: str, frame: pl.DataFrame, app: str | None = None, version: int | None = None) -> bool:
        """Append rows, columns missing on either side being filled with null; see Tables.

        With `app` and `version` the rows and the number are one commit. Raises Conflict where another writer of the
        same `app` committed in between a lower number: its rows and ours overlap, so ours must be cut again.
        Raises StoreError naming a column whose type differs from the table's.
        """
        if (app is None) != (version is None):
            raise StoreError(f"append to '{name}': give both app and version, or neither")
        handle = self._writer(name)
        if handle is None:
            if self._create(name, frame, app, version):
                return True
            handle = self._open(name)
        if app is not None and version is not None:
            if _app_version(handle, app) >= version:
                return False
        elif frame.is_empty():
            return True
        rows, new = align(name, storable(name, frame), handle)
        try:
            write_deltalake(
                handle,
                rows.to_arrow(),
                mode="append",
                schema_mode="merge" if new else None,
                commit_properties=_commit(app, version),
            )
        except CommitFailedError as error:
            self._writers.pop(name, None)
            if app is not None and version is not None and self.app_version(name, app) >= version:
                return False
            raise Conflict(
                f"another writer of '{app or name}' committed to table '{name}' first; open it again and drop the rows "
                "that are there"
            ) from error
        except Exception as error:
            self._writers.pop(name, None)
            raise self._explained(f"append {frame.height} rows to", name, error) from error
        return True

    def app_version(self, name: str, app: str) -> int:
        """Last application transaction version of `app`, or -1."""
        handle = self._writer(name)
        return -1 if handle is None else _app_version(handle, app)

    def replace(self, name: str, frame: pl.DataFrame, where: str | None = None) -> None:
        """Overwrite the table and its columns, or the rows that fit a SQL predicate, which all new rows must fit."""

        def write() -> None:
            handle = self._handle(name)
            if handle is None:
                if self._create(name, frame):
                    return
                handle = self._open(name)
            if where is None:
                rows = storable(name, frame)
                write_deltalake(
                    handle,
                    rows.to_arrow(),
                    mode="overwrite",
                    schema_mode="overwrite",
                    partition_by=_partition(rows),
                )
            else:
                rows, new = align(name, storable(name, frame), handle)
                write_deltalake(
                    handle, rows.to_arrow(), mode="overwrite", predicate=where, schema_mode="merge" if new else None
                )

        self._again(f"replace {'all rows' if where is None else f'rows where {where}'} of", name, write)

    def merge(self, name: str, frame: pl.DataFrame, on: Sequence[str]) -> None:
        """Insert rows, replacing those with equal values in `on` (null equals null).

        Raises StoreError if two new rows are equal in `on`.
        """
        doubled = frame.select(on).is_duplicated().sum()
        if doubled:
            raise StoreError(f"merge into '{name}': {doubled} new rows share their {', '.join(on)}; keep one of each")

        def write() -> None:
            handle = self._handle(name)
            if handle is None:
                if self._create(name, frame):
                    return
                handle = self._open(name)
            rows, new = align(name, storable(name, frame), handle)
            (
                handle.merge(
                    rows.to_arrow(),
                    predicate=" AND ".join(f'(target."{c}" IS NOT DISTINCT FROM source."{c}")' for c in on),
                    source_alias="source",
                    target_alias="target",
                    merge_schema=new,
                )
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute()
            )

        if frame.height:
            self._again(f"merge {frame.height} rows into", name, write)

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Lazy rows of the newest version, fixed at this call, or of an older one."""
        handle = self._open(name, version)
        try:
            return restored(pl.scan_delta(handle))
        except Exception as error:
            raise self._explained("read", name, error) from error

    def exists(self, name: str) -> bool:
        """Whether the table has been written."""
        return DeltaTable.is_deltatable(str(self.path(name)))

    def version(self, name: str) -> int:
        """Number of the newest commit, from 0."""
        return int(self._open(name).version())

    def compact(self, name: str) -> None:
        """Join small files and write a checkpoint of the log; older versions stay readable."""

        def work() -> None:
            handle = self._open(name)
            handle.optimize.compact()
            handle.create_checkpoint()

        self._again("compact", name, work)

    def names(self) -> list[str]:
        """Names of all tables, sorted."""
        return sorted(str(log.parent.relative_to(self.root)) for log in self.root.glob("**/_delta_log"))

    def path(self, name: str) -> Path:
        """Folder of a table; raises StoreError for a name that leaves the tables' folder."""
        path = self.root / name
        if not name or not path.resolve().is_relative_to(self.root.resolve()) or path == self.root:
            raise StoreError(f"'{name}' cannot name a table; write a name such as events/flight_departed")
        return path

    def _writer(self, name: str) -> DeltaTable | None:
        """The handle that appends, brought up to the newest commit; None where the table does not exist."""
        try:
            folder = (self.path(name) / "_delta_log").stat().st_ino
        except OSError:
            self._writers.pop(name, None)
            return None
        known, handle = self._writers.get(name, (-1, None))
        if handle is not None and known == folder:
            try:
                handle.update_incremental()
            except Exception:  # noqa: BLE001  whatever is wrong with it, opening anew says it in our words
                self._writers.pop(name, None)
            else:
                return handle
        handle = self._handle(name)
        if handle is not None:
            self._writers[name] = (folder, handle)
        return handle

    def _handle(self, name: str) -> DeltaTable | None:
        return self._open(name) if self.exists(name) else None

    def _open(self, name: str, version: int | None = None) -> DeltaTable:
        path = self.path(name)
        try:
            return DeltaTable(str(path), version=version)
        except TableNotFoundError as error:
            raise StoreError(
                f"table '{name}' does not exist in {self.root}{suggest(name, self.names())}; "
                "materialize the asset that writes it"
            ) from error
        except Exception as error:
            raise self._explained("open" if version is None else f"open version {version} of", name, error) from error

    def _create(self, name: str, frame: pl.DataFrame, app: str | None = None, version: int | None = None) -> bool:
        """Write the first rows; False if another process was first.

        Without retries: a retried creation becomes the second commit of a table that another process created, and
        its rows, application transaction and all, are accepted twice.
        """
        rows = storable(name, frame)
        path = self.path(name)
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_deltalake(
                str(path),
                rows.to_arrow(),
                mode="error",
                partition_by=_partition(rows),
                commit_properties=_commit(app, version, retries=0),
            )
        except Exception as error:
            if self.exists(name):
                return False
            raise self._explained("create", name, error) from error
        return True

    def _again(self, doing: str, name: str, work: Callable[[], Any]) -> None:
        """Do what may be done twice; a commit that lost against another writer is tried anew."""
        for left in reversed(range(_TRIES)):
            try:
                work()
            except CommitFailedError as error:
                if not left:
                    raise Conflict(f"cannot {doing} table '{name}': other writers won {_TRIES} times") from error
            except StoreError:
                raise
            except Exception as error:
                raise self._explained(doing, name, error) from error
            else:
                return

    def _explained(self, doing: str, name: str, error: Exception) -> StoreError:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "No space left" in str(error):
            text = "the disk is full; free some space and start again, the table is as before"
        return StoreError(f"cannot {doing} table '{name}' in {self.root}: {text}")


def _app_version(handle: DeltaTable, app: str) -> int:
    version = handle.transaction_version(app)
    return -1 if version is None else int(version)


def _partition(rows: pl.DataFrame) -> list[str]:
    return [PARTITION] if PARTITION in rows.columns else []


def _commit(app: str | None, version: int | None, retries: int | None = None) -> CommitProperties:
    transactions = None
    if app is not None and version is not None:
        transactions = [Transaction(app, version, time.time_ns() // 1_000_000)]
    return CommitProperties(app_transactions=transactions, max_commit_retries=retries)
