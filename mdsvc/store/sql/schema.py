"""Making the tables, and bringing those of an older version up to date.

A database of a newer version is refused. So is one of an older version by a program that knows the
newer one only after this: it is upgraded when it is opened, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, inspect, select, update
from sqlalchemy.engine import Connection

from mdsvc.errors import BadInput
from mdsvc.store.sql.engines import EXPECTED, Engines
from mdsvc.store.sql.tables import FLEET, FLOOR, META, METADATA, REVISION, SCHEMA

_STEPS: Mapping[int, Sequence[str]] = {
    # Revisions of the whole store. A host's generations were its own, and began anew with it. They
    # are renamed, so that an older program that still runs fails when it writes.
    1: (
        "ALTER TABLE hosts RENAME COLUMN generation TO revision",
        "ALTER TABLE instances ADD COLUMN revision BIGINT NOT NULL DEFAULT 0",
        "UPDATE instances SET revision = generation",
        "CREATE INDEX hosts_by_revision ON hosts (revision, name)",
        "CREATE INDEX instances_by_revision ON instances (revision, uuid)",
        "INSERT INTO meta (name, value) SELECT 'revision', coalesce(max(revision), 0) FROM"
        " (SELECT revision FROM hosts UNION ALL SELECT revision FROM instances) AS every",
        "INSERT INTO meta (name, value) SELECT 'fleet', value FROM meta WHERE name = 'revision'",
    ),
    # What was removed, for who follows the changes; it is known from now on.
    2: (
        "CREATE TABLE removals (revision BIGINT NOT NULL, kind VARCHAR(16) NOT NULL,"
        " name VARCHAR(255) NOT NULL, PRIMARY KEY (revision, kind, name))",
        "INSERT INTO meta (name, value) SELECT 'floor', value FROM meta WHERE name = 'revision'",
    ),
}
"""What makes the tables of a version those of the next one."""

VERSION = max(_STEPS) + 1
"""Of the tables. What stands in a record has a version of its own."""


async def prepare(engines: Engines) -> None:
    """Make the tables where there are none yet, upgrade old ones; all or nothing. Raises BadInput.

    Nothing is written, and nobody is waited for, where they are as they should be.
    """
    async with engines.reads.connect() as connection:
        version = await connection.run_sync(_version)
    if version != VERSION:
        async with engines.writes.begin() as connection:
            await connection.run_sync(_make_or_upgrade)


def _version(connection: Connection) -> int | None:
    """The version of the tables that are there, if there are any."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if META.name not in tables:
        raise BadInput(f"the database is another program's; expected an empty one or {EXPECTED}")
    version: int | None = connection.scalar(select(META.c.value).where(META.c.name == SCHEMA))
    if version is None or not 1 <= version <= VERSION:
        raise BadInput(f"its tables are of version {version}; expected {VERSION}, known here")
    return version


def _make_or_upgrade(connection: Connection) -> None:
    """Another process may have been first: it is looked again, now that nobody else writes."""
    version = _version(connection)
    if version is None:
        METADATA.create_all(connection)
        rows = {SCHEMA: VERSION, REVISION: 0, FLEET: 0, FLOOR: 0}
        connection.execute(insert(META), [{"name": n, "value": v} for n, v in rows.items()])
        return
    for step in range(version, VERSION):
        for statement in _STEPS[step]:
            connection.exec_driver_sql(statement)
    connection.execute(update(META).where(META.c.name == SCHEMA).values(value=VERSION))
