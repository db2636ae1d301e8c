"""Tables of the registry; documents are JSON text, times int64 ms UTC."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")

BUNDLES = sa.Table(
    "bundles",
    METADATA,
    sa.Column("publication", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("lineage", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("tag", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("algorithm", "lineage", "digest"),
    sqlite_autoincrement=True,
)
"""Publications; a number is never given twice."""

DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
"""Deployment documents with their history; `digest` (SHA-256 of the text) tells a whole one from a damaged one."""

CLAIMS = sa.Table(
    "claims",
    METADATA,
    sa.Column("lineage", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False, unique=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("claimed", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=True),
)
"""One row a lineage: who retrains it; `expires` is null once it is bound to a run."""

STATUSES = sa.Table(
    "statuses",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
)

FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

MARKS = sa.Table(
    "marks",
    METADATA,
    sa.Column("number", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("marks_of_kind", "kind", "at"),
)
"""Histories, in the order in which they were appended."""
