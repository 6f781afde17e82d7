"""The database of the SQL store: its URL, its connections and its tables.

SQLite is the one that is known so far. Another one is a driver in ``_ENGINES``: the tables, and
``sql`` beside this, are written for all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    URL,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mdsvc.errors import BadInput

VERSION = 1
"""Of the tables. What stands in a record has a version of its own."""

EXPECTED = "sqlite:///relative.db or sqlite:////absolute.db"

BUSY_SECONDS = 10
"""For how long one writer waits for another one before it gives up, and is run again."""

READERS = 4
"""Connections, each a thread, that answer guests at the same time."""


class Engines(NamedTuple):
    """``reads`` commits by itself and takes no write lock; ``writes`` runs transactions."""

    reads: AsyncEngine
    writes: AsyncEngine


# ---- the tables ----


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


# ---- the connections ----


def connect(url: str) -> Engines:
    """The engines of a URL. Raises BadInput; whether the database answers shows later."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadInput(f"expected {EXPECTED}") from None
    engines = _ENGINES.get(parsed.drivername)
    if engines is None:
        raise BadInput(f"{parsed.drivername} is not known; expected {EXPECTED}")
    return engines(parsed)


def shown(url: str) -> str:
    """The URL as it may appear in messages: without the user and the password."""
    return re.sub(r"//.*@", "//***@", url)


def _sqlite(url: URL) -> Engines:
    _check_file(url)
    options: dict[str, Any] = {
        "url": url.set(drivername="sqlite+aiosqlite"),
        "connect_args": {"timeout": BUSY_SECONDS},
        "max_overflow": 0,
    }
    reads = create_async_engine(
        **options, isolation_level="AUTOCOMMIT", pool_size=READERS, pool_reset_on_return=None
    )
    # One connection: a store's own writers wait for it in the order in which they came, and only
    # those of other processes for the lock, which they look at again and again.
    writes = create_async_engine(**options, pool_size=1)
    event.listen(reads.sync_engine, "connect", _prepare_reader)
    event.listen(writes.sync_engine, "connect", _prepare_writer)
    event.listen(writes.sync_engine, "begin", _begin)
    event.listen(writes.sync_engine, "invalidate", _release)
    return Engines(reads, writes)


def _check_file(url: URL) -> None:
    """Say what is wrong with the path; SQLite only says that it cannot open the file."""
    name = url.database or ""
    if url.host or url.query or "\0" in name or name in ("", ":memory:"):
        raise BadInput(f"expected the path of a file: {EXPECTED}")
    path = Path(name)
    if not path.parent.is_dir():
        raise BadInput(f"expected a file in a directory, but there is no directory {path.parent}")
    if path.exists() and not path.is_file():
        raise BadInput(f"expected a file, but {path} is none")
    for needed in (path, path.parent):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise BadInput(f"expected a file that can be written to, but {needed} cannot")
    path.touch(mode=0o600)  # what guests are given, and their passwords, is for its owner alone


def _prepare_reader(connection: Any, _record: object) -> None:
    _run(connection, "PRAGMA query_only = ON")


def _prepare_writer(connection: Any, _record: object) -> None:
    """Write-ahead log: readers see the last commit while a writer works, and neither waits.

    FULL syncs the log with each commit. NORMAL would keep the file whole too, but could lose the
    last commits with the power: a pCPU that a guest runs on would look free.
    """
    connection.isolation_level = None  # sqlite3 begins no transaction of its own
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        _run(connection, f"PRAGMA {pragma}")


def _run(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()


def _begin(connection: Connection) -> None:
    """The write lock comes first: what the transaction reads cannot change under it any more."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _release(connection: Any, _record: object, _error: object) -> None:
    """Undo before a connection is closed in the middle of its work, as a cancelled task's is.

    Closing alone would keep the write lock for as long as anything refers to a cursor, and the
    traceback of the cancellation does.
    """
    connection.rollback()


_ENGINES: dict[str, Callable[[URL], Engines]] = {"sqlite": _sqlite}
