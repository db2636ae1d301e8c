"""Registry through SQLAlchemy: publications, deployments by compare-and-set, claims, statuses, facts, marks."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from saima.errors import Conflict, StoreError
from saima.stores.engines import describe, open_engine
from saima.stores.interfaces import BundleRow, Claim, DeploymentRow
from saima.stores.schema import BUNDLES, CLAIMS, DEPLOYMENTS, FACTS, MARKS, METADATA, STATUSES


def wall_clock() -> int:
    """Now, in ms UTC."""
    return time.time_ns() // 1_000_000


class SqlRegistry:
    """The registry at a SQLAlchemy address; an instance may be used by several threads.

    Every change is one transaction. `clock` returns ms UTC.
    """

    def __init__(self, address: str, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._engine = open_engine(address)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._transaction("create") as connection:
            METADATA.create_all(connection)

    def publish(
        self, algorithm: str, lineage: str, digest: str, tag: str, path: str, manifest: Mapping[str, Any]
    ) -> int:
        """Record a bundle and return its publication number; the same digest again returns the first number."""
        values = {"algorithm": algorithm, "lineage": lineage, "digest": digest}
        known = sa.select(BUNDLES.c.publication).filter_by(**values)
        row = {**values, "tag": tag, "path": path, "manifest": _text("manifest", manifest), "created": self._clock()}
        with self._transaction(f"publish bundle {tag} in") as connection:
            number = connection.execute(known).scalar_one_or_none()
            if number is None:
                connection.execute(self._insert(BUNDLES).values(row).on_conflict_do_nothing())
                number = connection.execute(known).scalar_one()
            return int(number)

    def bundle(self, publication: int) -> BundleRow:
        """A bundle by its number; raises StoreError if there is none."""
        rows = self._rows(sa.select(BUNDLES).where(BUNDLES.c.publication == publication))
        if not rows:
            raise StoreError(f"no bundle has publication number {publication}; `saima status` lists them")
        return _bundle(rows[0])

    def bundles(self, algorithm: str, lineage: str | None = None) -> list[BundleRow]:
        """Bundles of an algorithm, or of one lineage of it, oldest first."""
        query = sa.select(BUNDLES).where(BUNDLES.c.algorithm == algorithm).order_by(BUNDLES.c.publication)
        return [_bundle(row) for row in self._rows(query if lineage is None else query.filter_by(lineage=lineage))]

    def deployment(self) -> DeploymentRow:
        """The newest document; epoch 0 with an empty document where there is none.

        Raises StoreError naming the epoch if the document is damaged, and the newest whole one.
        """
        rows = self._rows(sa.select(DEPLOYMENTS).order_by(DEPLOYMENTS.c.epoch.desc()).limit(1))
        if not rows:
            return DeploymentRow(0, {}, "", "", 0)
        if not _whole(rows[0]):
            whole = max((row.epoch for row in self._rows(sa.select(DEPLOYMENTS)) if _whole(row)), default=0)
            raise StoreError(
                f"the deployment document of epoch {rows[0].epoch} in {describe(self._engine)} is damaged; the last "
                f"whole one is epoch {whole}: write it anew with `saima deploy`"
            )
        return _deployment(rows[0])

    def deployments(self, limit: int = 50) -> list[DeploymentRow]:
        """Whole documents, newest first."""
        query = sa.select(DEPLOYMENTS).order_by(DEPLOYMENTS.c.epoch.desc()).limit(limit)
        return [_deployment(row) for row in self._rows(query) if _whole(row)]

    def deploy(self, expected: int, document: Mapping[str, Any], author: str, reason: str) -> int:
        """Write epoch `expected + 1`; raises Conflict if the newest epoch is not `expected`."""
        text = _text("deployment document", document)
        newest = sa.select(sa.func.coalesce(sa.func.max(DEPLOYMENTS.c.epoch), 0))
        try:
            with self._transaction(f"write epoch {expected + 1} to") as connection:
                epoch = int(connection.execute(newest).scalar_one())
                if epoch != expected:
                    raise Conflict(f"the deployment is at epoch {epoch}, not {expected}: read it and try again")
                connection.execute(
                    DEPLOYMENTS.insert().values(
                        epoch=expected + 1,
                        document=text,
                        digest=_digest(text),
                        author=author,
                        reason=reason,
                        created=self._clock(),
                    )
                )
        except sa.exc.IntegrityError as error:
            raise Conflict(f"epoch {expected + 1} has been written by somebody else; read it and try again") from error
        return expected + 1

    def claim(self, lineage: str, position: int, trigger: str, seconds: float) -> Claim | None:
        """Take the lineage's only retrain place, or None if it is taken; an unbound claim ends after `seconds`."""
        now = self._clock()
        claim = Claim(lineage, uuid.uuid4().hex, position, trigger, "", now)
        row = {
            "lineage": lineage, "token": claim.token, "position": position, "trigger": trigger,
            "run_id": "", "claimed": now, "expires": now + int(seconds * 1000),
        }  # fmt: skip
        statement = self._insert(CLAIMS).values(row)
        statement = statement.on_conflict_do_update(index_elements=["lineage"], set_=row, where=CLAIMS.c.expires <= now)
        with self._transaction(f"claim the retrain of '{lineage}' in") as connection:
            return claim if connection.execute(statement).rowcount == 1 else None

    def bind(self, token: str, run_id: str) -> bool:
        """Tie a claim to a Dagster run, so that it no longer ends by time; False if the claim has ended."""
        alive = sa.or_(CLAIMS.c.expires > self._clock(), CLAIMS.c.run_id == run_id)
        update = CLAIMS.update().where(CLAIMS.c.token == token, alive).values(run_id=run_id, expires=None)
        with self._transaction("bind a claim in") as connection:
            return connection.execute(update).rowcount == 1

    def release(self, token: str) -> None:
        """End a claim; one that has ended is left as it is."""
        with self._transaction("release a claim in") as connection:
            connection.execute(CLAIMS.delete().where(CLAIMS.c.token == token))

    def claims(self) -> list[Claim]:
        """Claims that have not ended, by lineage."""
        alive = sa.or_(CLAIMS.c.expires.is_(None), CLAIMS.c.expires > self._clock())
        rows = self._rows(sa.select(CLAIMS).where(alive).order_by(CLAIMS.c.lineage))
        return [Claim(r.lineage, r.token, r.position, r.trigger, r.run_id, r.claimed) for r in rows]

    def set_status(self, name: str, document: Mapping[str, Any]) -> None:
        """Publish the status of a process, stamped with the wall clock as `updated` (ms)."""
        now = self._clock()
        text = _text(f"status '{name}'", {**document, "updated": now})
        self._upsert(STATUSES, {"name": name, "document": text, "updated": now})

    def drop_status(self, name: str) -> None:
        """Forget the status of a process that ended in order."""
        with self._transaction(f"drop status '{name}' of") as connection:
            connection.execute(STATUSES.delete().where(STATUSES.c.name == name))

    def statuses(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Statuses by name; each document carries `updated` (ms)."""
        begins = sa.func.substr(STATUSES.c.name, 1, len(prefix)) == prefix
        rows = self._rows(sa.select(STATUSES).where(begins).order_by(STATUSES.c.name))
        return {row.name: json.loads(row.document) for row in rows}

    def put_fact(self, name: str, value: Mapping[str, Any]) -> None:
        """A small named JSON value that outlives processes, e.g. `trained/flight_delay/xgb`."""
        self._upsert(FACTS, {"name": name, "value": _text(f"fact '{name}'", value)})

    def fact(self, name: str) -> dict[str, Any] | None:
        """The value of a fact, or None."""
        rows = self._rows(sa.select(FACTS.c.value).where(FACTS.c.name == name))
        return json.loads(rows[0].value) if rows else None

    def facts(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Facts by name."""
        begins = sa.func.substr(FACTS.c.name, 1, len(prefix)) == prefix
        return {row.name: json.loads(row.value) for row in self._rows(sa.select(FACTS).where(begins))}

    def append_mark(self, kind: str, document: Mapping[str, Any]) -> None:
        """Append to a history; stamped with the wall clock as `at` (ms) unless the document says when."""
        at = int(document.get("at", self._clock()))
        row = {"kind": kind, "at": at, "document": _text(f"mark '{kind}'", {**document, "at": at})}
        with self._transaction(f"append mark '{kind}' to") as connection:
            connection.execute(MARKS.insert().values(row))

    def marks(self, kind: str, since: int = 0) -> list[dict[str, Any]]:
        """Marks of a kind with `at >= since`, in the order in which they were appended."""
        query = sa.select(MARKS.c.document).where(MARKS.c.kind == kind, MARKS.c.at >= since).order_by(MARKS.c.number)
        return [json.loads(row.document) for row in self._rows(query)]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _upsert(self, table: sa.Table, row: dict[str, Any]) -> None:
        statement = self._insert(table).values(row)
        with self._transaction(f"write {table.name} of") as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))

    def _insert(self, table: sa.Table) -> Any:
        """INSERT with ON CONFLICT, which SQLite and PostgreSQL spell alike."""
        return (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        with self._failures("read"), self._reading.connect() as connection:
            return list(connection.execute(query))

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[sa.Connection]:
        with self._failures(doing), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _failures(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(describe(self._engine, doing, cause)) from error


def _text(name: str, document: Mapping[str, Any]) -> str:
    try:
        return json.dumps(document, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{name} is no JSON: {error}; use numbers, text, lists and null, no NaN") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(row: Any) -> bool:
    return bool(_digest(row.document) == row.digest)


def _deployment(row: Any) -> DeploymentRow:
    return DeploymentRow(row.epoch, json.loads(row.document), row.author, row.reason, row.created)


def _bundle(row: Any) -> BundleRow:
    manifest = json.loads(row.manifest)
    return BundleRow(row.publication, row.algorithm, row.lineage, row.digest, row.tag, row.path, manifest, row.created)
