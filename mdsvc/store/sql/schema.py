"""The version of the tables: making them where there are none, and refusing those of another one.

New tables are made as they are now, and marked with the last migration; ``upgrading`` brings older
ones there, on command. Nothing here needs Alembic, which takes long to import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from mdsvc.errors import BadInput
from mdsvc.store.sql import forms
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.engines import EXPECTED, Engines
from mdsvc.store.sql.tables import ALEMBIC, FLEET, FLOOR, META, METADATA, REVISION, SCHEMA

VERSION = 8
"""Of the tables: the number of the last migration. What stands in a record has one of its own."""

_SCHEMA = select(META.c.value).where(META.c.name == SCHEMA)


class OtherVersion(BadInput):
    """Tables that this program does not work with; ``version`` is theirs."""

    def __init__(self, version: int) -> None:
        super().__init__(f"its tables are of version {version}; expected {VERSION}")
        self.version = version


async def make_all(engines: Engines) -> int:
    """Make the tables where there are none yet, all or nothing; the version of what is there then.

    Raises BadInput.
    """
    async with changing(engines) as connection:
        await connection.run_sync(make)
        version: int = (await connection.execute(_SCHEMA)).scalar_one()
        return version


async def version_of(engines: Engines) -> int | None:
    """The version of the tables that are there; None where they are still to be made.

    Raises BadInput where they are another program's.
    """
    async with engines.reads.connect() as connection:
        with suppress(DBAPIError):  # no such table, most likely; what else it may be, the look says
            if (version := await connection.scalar(_SCHEMA)) is not None:
                return int(version)
    async with engines.reads.connect() as connection:
        return await connection.run_sync(version_there)


def version_there(connection: Connection) -> int | None:
    """The same, by a look at what tables there are. A query that fails would end a transaction."""
    tables = set(inspect(connection).get_table_names())
    version: int | None = connection.scalar(_SCHEMA) if META.name in tables else None
    if version is None and META.name in tables and ALEMBIC.name not in tables:
        raise BadInput(f"its tables are of version None; expected {VERSION}")
    # Where a database commits each table by itself, some may be there, and no version yet.
    if version is None and tables and not {ALEMBIC.name} <= tables <= METADATA.tables.keys():
        raise BadInput(f"the database is another program's; expected an empty one or {EXPECTED}")
    return version


@asynccontextmanager
async def changing(engines: Engines) -> AsyncIterator[AsyncConnection]:
    """A transaction that changes tables. Others that would wait until it has ended."""
    async with engines.tables.connect() as connection:
        try:
            async with connection.begin():
                if engines.lock:
                    await connection.exec_driver_sql(engines.lock)
                yield connection
        finally:
            if engines.unlock and not connection.invalidated:
                await connection.exec_driver_sql(engines.unlock)
                await connection.commit()


def make(connection: Connection) -> None:
    """Make the tables, also what is missing of them where making them was cut short.

    The rows come last, and together: with the one of the version everything is there. Of several
    that make them at once, on nodes that lock nothing for one another, one can store it.
    """
    if version_there(connection) is not None:
        return
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        there = {index["name"] for index in inspect(connection).get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in there:
                index.create(connection)
    rows = {SCHEMA: VERSION, REVISION: 0, FLEET: 0, FLOOR: 0, **forms.newest()}
    connection.execute(insert(META), [{"name": n, "value": v} for n, v in rows.items()])
    connection.execute(insert(ALEMBIC), {"version_num": migration(VERSION)})


def migration(version: int) -> str:
    """The name of the migration that makes tables of that version: "0002"."""
    return f"{version:04}"
