"""guests by project, for lists of one's own"""  # noqa: D415  # shown after a number

from __future__ import annotations

import msgpack
from sqlalchemy import Column, MetaData, Table, bindparam, select, update
from sqlalchemy.engine import Connection

from mdsvc.store.sql.columns import BYTES, text
from mdsvc.store.sql.ddl import add_column, create_index, fill_all

revision = "0005"
down_revision = "0004"

_GUESTS = Table(
    "instances",
    MetaData(),
    Column("uuid", text(36), primary_key=True),
    Column("project_id", text(255)),
    Column("record", BYTES),
)
_BATCH = 1000

_SOME = (
    select(_GUESTS.c.uuid, _GUESTS.c.record)
    .where(_GUESTS.c.uuid > bindparam("after"), _GUESTS.c.project_id.is_(None))
    .order_by(_GUESTS.c.uuid)
    .limit(_BATCH)
)
_SET = (
    update(_GUESTS)
    .where(_GUESTS.c.uuid == bindparam("a_uuid"))
    .values(project_id=bindparam("a_project"))
)


def add() -> None:
    """What older programs do not look at, and leave empty."""
    add_column("instances", Column("project_id", text(255)))
    create_index("instances_by_project", "instances", ["project_id", "uuid"])


def fill(connection: Connection, after: str) -> str | None:
    """What stands in a guest's record stands beside it too. Where it does not, as older programs
    leave it, the record is asked.
    """
    rows = connection.execute(_SOME, {"after": after}).all()
    projects = [(uuid, _project(record)) for uuid, record in rows]
    values = [{"a_uuid": uuid, "a_project": p} for uuid, p in projects if p is not None]
    if values:
        connection.execute(_SET, values)
    return rows[-1].uuid if rows else None


def upgrade() -> None:
    """All of it; what was done ahead is left."""
    add()
    fill_all(fill)


def _project(record: bytes) -> str | None:
    """None for a damaged record, which is told of when it is read."""
    try:
        project = msgpack.unpackb(record)["value"]["project_id"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException):
        return None
    return project if isinstance(project, str) else None
