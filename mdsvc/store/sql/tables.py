"""The tables of the SQL store, written for every database, and making them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import Connection

from mdsvc.errors import BadInput
from mdsvc.store.sql.engines import EXPECTED, Engines

VERSION = 1
"""Of the tables. What stands in a record has a version of its own."""


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
    Column("value", Integer, nullable=False),
)
HOSTS = Table(
    "hosts",
    METADATA,
    Column("name", _text(255), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("record", _BYTES, nullable=False),
)
INSTANCES = Table(
    "instances",
    METADATA,
    Column("uuid", _text(36), primary_key=True),
    Column("host", ForeignKey(HOSTS.c.name), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("record", _BYTES, nullable=False),
)
_UUID = INSTANCES.c.uuid
ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("ip", _text(64), primary_key=True),  # first, so that the key finds it on any network
    Column("network", _text(255), primary_key=True),
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), nullable=False, index=True),
)
PASSWORDS = Table(
    "passwords",
    METADATA,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("password", _BYTES, nullable=False),
)


async def prepare(engines: Engines) -> None:
    """Make the tables where there are none yet, all or none. Raises BadInput."""
    async with engines.reads.connect() as connection:
        there = await connection.run_sync(_is_there)
    if not there:
        async with engines.writes.begin() as connection:
            await connection.run_sync(_make)


def _is_there(connection: Connection) -> bool:
    tables = inspect(connection).get_table_names()
    if not tables:
        return False
    if META.name not in tables:
        raise BadInput(f"the database is another program's; expected an empty one or {EXPECTED}")
    version = connection.scalar(select(META.c.value).where(META.c.name == "schema"))
    if version != VERSION:
        raise BadInput(f"its tables are of version {version}; expected {VERSION}, known here")
    return True


def _make(connection: Connection) -> None:
    """Another process may have been first: it is looked again, now that nobody else writes."""
    if not _is_there(connection):
        METADATA.create_all(connection)
        connection.execute(insert(META).values(name="schema", value=VERSION))
