"""What has changed in a SQL database since a revision, read in one snapshot.

Revisions are committed in their order (``writing``): whoever sees one sees all before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Integer, bindparam, literal, null, select

from mdsvc.store.feed import Change, ChangePage
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.tables import FLOOR, HOSTS, INSTANCES, META, REMOVALS, REVISION

_AFTER: BindParameter[int] = bindparam("after")
_LAST: BindParameter[int] = bindparam("last")
_SKIPPED: BindParameter[int] = bindparam("skipped")

POSITION = select(META.c.value).where(META.c.name == REVISION)
_BOUNDS = select(META.c.name, META.c.value).where(META.c.name.in_([REVISION, FLOOR]))

_TABLES = (HOSTS, INSTANCES, REMOVALS)
_FURTHEST = [
    select(table.c.revision)
    .where(table.c.revision > _AFTER)
    .order_by(table.c.revision)
    .offset(_SKIPPED)
    .limit(1)
    for table in _TABLES
]
"""The revision of the change at which a table alone has enough for a page."""

_CHANGES = [
    select(*columns).where(columns[0] > _AFTER, columns[0] <= _LAST)
    for columns in (
        (HOSTS.c.revision, literal("host"), HOSTS.c.name, HOSTS.c.revision),
        (INSTANCES.c.revision, literal("instance"), INSTANCES.c.uuid, INSTANCES.c.generation),
        (REMOVALS.c.revision, REMOVALS.c.kind, REMOVALS.c.name, null().cast(Integer)),
    )
]


async def page(connection: AsyncConnection, after: int, limit: int) -> ChangePage:
    """``Feed.changes``, in a transaction that sees one moment."""
    bounds = {row.name: row.value for row in await _rows(connection, _BOUNDS)}
    if not bounds[FLOOR] <= after <= bounds[REVISION]:
        return ChangePage(bounds[REVISION], reset=True)
    last = bounds[REVISION]
    for furthest in _FURTHEST:
        for row in await _rows(connection, furthest, after=after, skipped=limit - 1):
            last = min(last, row.revision)
    changes: list[Change] = []
    for statement in _CHANGES:
        rows = await _rows(connection, statement, after=after, last=last)
        changes += [Change(*row) for row in rows]
    return ChangePage(last, sorted(changes))


async def _rows(connection: AsyncConnection, statement: Any, **values: int) -> Sequence[Any]:
    return (await connection.execute(statement, values)).all()
