"""The tables of the SQL store, written for every database.

A ``revision`` is a number of the whole store, new with each change, and never comes back. A guest's
``generation`` is the guest's own, from 1, and stands in what it reads.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

SCHEMA, REVISION, FLEET, FLOOR = "schema", "revision", "fleet", "floor"
"""The rows of ``meta``: the version of the tables; the revision that was taken last; the one at
which a host was last added, or changed its service version; and the one from which on all that was
removed is in ``removals``."""


def _text(length: int) -> String:
    """Text that is compared byte by byte everywhere, as SQLite and Python compare it."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(String(length, collation="utf8mb4_bin"), "mysql", "mariadb")
    )


_BYTES = LargeBinary(2**24 - 1)
"""The length makes MariaDB's a MEDIUMBLOB; the plain one would end at 64 KiB."""

METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("name", _text(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
HOSTS = Table(
    "hosts",
    METADATA,
    Column("name", _text(255), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("record", _BYTES, nullable=False),
    Index("hosts_by_revision", "revision", "name"),  # all that a listing asks of hosts it knows
)
INSTANCES = Table(
    "instances",
    METADATA,
    Column("uuid", _text(36), primary_key=True),
    Column("host", ForeignKey(HOSTS.c.name), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("record", _BYTES, nullable=False),
    Index("instances_by_revision", "revision", "uuid"),
)
_UUID = INSTANCES.c.uuid
ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("ip", _text(64), primary_key=True),  # first, so that the key finds it on any network
    Column("network", _text(255), primary_key=True),
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), nullable=False, index=True),
)
REMOVALS = Table(
    "removals",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", _text(16), primary_key=True),
    Column("name", _text(255), primary_key=True),  # or the UUID
)
PASSWORDS = Table(
    "passwords",
    METADATA,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("password", _BYTES, nullable=False),
)
