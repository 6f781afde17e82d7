"""The tables of the SQL store, written for every database.

A ``revision`` is a number of the whole store, new with each change, and never comes back. A guest's
``generation`` is the guest's own, from 1, and stands in what it reads.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

from mdsvc.store.sql.columns import BYTES, text

SCHEMA, REVISION, FLEET, FLOOR = "schema", "revision", "fleet", "floor"
"""The rows of ``meta``: the version of the tables; the revision that was taken last; the one at
which a host was last added, or changed its service version; and the one from which on all that was
removed is in ``removals``."""


METADATA = MetaData()

ALEMBIC = Table(
    "alembic_version",  # Alembic's own; it is made first, so that it marks what is half made
    METADATA,
    Column("version_num", String(32), primary_key=True),
)

META = Table(
    "meta",
    METADATA,
    Column("name", text(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
HOSTS = Table(
    "hosts",
    METADATA,
    Column("name", text(255), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("record", BYTES, nullable=False),
    Index("hosts_by_revision", "revision", "name"),  # all that a listing asks of hosts it knows
)
INSTANCES = Table(
    "instances",
    METADATA,
    Column("uuid", text(36), primary_key=True),
    Column("host", ForeignKey(HOSTS.c.name), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("record", BYTES, nullable=False),
    Column("project_id", text(255)),  # NULL where an older program wrote it: the record knows
    Index("instances_by_revision", "revision", "uuid"),
    Index("instances_by_project", "project_id", "uuid"),
)
_UUID = INSTANCES.c.uuid
ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("ip", text(64), primary_key=True),  # first, so that the key finds it on any network
    Column("network", text(255), primary_key=True),
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), nullable=False, index=True),
    Column("mac", text(17)),  # "" for none; NULL where an older program wrote it: the record knows
    Index("addresses_by_mac", "mac", "network"),
)
REMOVALS = Table(
    "removals",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", text(16), primary_key=True),
    Column("name", text(255), primary_key=True),  # or the UUID
)
TOKENS = Table(
    "tokens",
    METADATA,
    Column("name", text(64), primary_key=True),
    Column("digest", text(64), nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)
PASSWORDS = Table(
    "passwords",
    METADATA,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("password", BYTES, nullable=False),
)
REPORTS = Table(
    "reports",
    METADATA,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    Column("generation", Integer),
    Column("state", text(64)),
    Column("dedicated_cpus", text(2048)),
    Column("isolated_cpus", text(2048)),
)
USER_DATA_LOCKS = Table(
    "user_data_locks",
    METADATA,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("closes_at", BigInteger),
    Column("closed_at", BigInteger),
)
