"""Bringing tables of an older version up to date, by Alembic: one migration after the other.

Each is a transaction of its own, which ends by comparing and setting the version; so it is done
once, whoever else does it at the same time. A database that commits each change of a table by
itself (MariaDB) may be left with some of a migration's: it begins again, and finds them done.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import update
from sqlalchemy.engine import Connection

from mdsvc.store import Stale
from mdsvc.store.sql import schema
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.patience import patiently
from mdsvc.store.sql.tables import META, SCHEMA

MIGRATIONS = Path(__file__).with_name("migrations")


def script() -> ScriptDirectory:
    """The migrations that there are."""
    return ScriptDirectory(MIGRATIONS, version_locations=[MIGRATIONS])


async def upgrade_one(engines: Engines, told: Callable[[int, str], None]) -> bool:
    """Do the next migration, if there is one to do; tell its number and what it brings first.

    Raises OtherVersion where the tables are of a newer version, Stale where others were first.
    """
    version = await schema.version_of(engines)
    if version is None:
        await schema.make_all(engines)
        return False
    if version > schema.VERSION:
        raise schema.OtherVersion(version)
    if version < schema.VERSION:
        told(version + 1, _script_of(version + 1).doc)
        await _do_ahead(engines, version + 1)
    async with schema.changing(engines) as connection:
        await connection.run_sync(_upgrade_from, version)
    return version < schema.VERSION


def _script_of(version: int) -> Script:
    return script().get_revision(schema.migration(version))


async def _do_ahead(engines: Engines, version: int) -> None:
    """What a migration adds, and fills in all rows: the tables first, which may lock them for a
    moment, then some rows at a time. In one transaction with the version nobody could read
    meanwhile, or write. Whatever of it is left undone, or comes up meanwhile, the migration does.
    """
    module: Any = _script_of(version).module
    if not hasattr(module, "fill"):
        return
    async with schema.changing(engines) as connection:
        await connection.run_sync(_add, module)

    async def fill_some() -> str | None:
        async with engines.tables.begin() as connection:
            filled: str | None = await connection.run_sync(module.fill, after)
            return filled

    after: str | None = ""
    while after is not None:
        after = await patiently(fill_some, changes=True)


def _add(connection: Connection, module: Any) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        module.add()


def _upgrade_from(connection: Connection, version: int) -> None:
    """Others may have been first: it is looked again, now that nobody else changes tables."""
    if schema.version_there(connection) != version:
        raise Stale("the tables have changed meanwhile")
    try:
        _stamp(connection, version)
        if version < schema.VERSION:
            migrate(connection, version + 1)
            _count(connection, version)
    except CommandError as error:  # Alembic's own compare and set, for one
        raise Stale(str(error)) from error


def _stamp(connection: Connection, version: int) -> None:
    """Tables from before there was Alembic have their version, and Alembic's is made of it."""
    context = MigrationContext.configure(connection)
    if not context.get_current_heads():
        context.stamp(script(), schema.migration(version))


def migrate(connection: Connection, version: int) -> None:
    """Run the migrations up to that version; the version in ``meta`` is the caller's."""
    directory, revision = script(), schema.migration(version)

    def steps(heads: Any, _context: object) -> Any:
        return directory._upgrade_revs(revision, heads)  # noqa: SLF001  # as Alembic's env.py does

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def _count(connection: Connection, version: int) -> None:
    its_row = META.c.name == SCHEMA, META.c.value == version
    counted = connection.execute(update(META).where(*its_row).values(value=version + 1))
    if counted.rowcount != 1:
        raise Stale("the tables have changed meanwhile")
