"""guests by their MAC addresses"""  # noqa: D415  # shown after a number

from __future__ import annotations

from collections.abc import Iterator

import msgpack
from sqlalchemy import Column, MetaData, Table, bindparam, select, update
from sqlalchemy.engine import Connection

from mdsvc.store.sql.columns import BYTES, text
from mdsvc.store.sql.ddl import add_column, create_index, fill_all

revision = "0007"
down_revision = "0006"

_GUESTS = Table(
    "instances",
    MetaData(),
    Column("uuid", text(36), primary_key=True),
    Column("record", BYTES),
)
_ADDRESSES = Table(
    "addresses",
    MetaData(),
    Column("ip", text(64), primary_key=True),
    Column("network", text(255), primary_key=True),
    Column("uuid", text(36)),
    Column("mac", text(17)),
)
_BATCH = 1000

_EMPTY = (
    select(_ADDRESSES.c.uuid)
    .where(_ADDRESSES.c.uuid > bindparam("after"), _ADDRESSES.c.mac.is_(None))
    .order_by(_ADDRESSES.c.uuid)
    .distinct()
    .limit(_BATCH)
    .subquery()
)
_SOME = (
    select(_GUESTS.c.uuid, _GUESTS.c.record)
    .join(_EMPTY, _EMPTY.c.uuid == _GUESTS.c.uuid)
    .order_by(_GUESTS.c.uuid)
)
_SET = (
    update(_ADDRESSES)
    .where(
        _ADDRESSES.c.ip == bindparam("an_ip"),
        _ADDRESSES.c.network == bindparam("a_network"),
        _ADDRESSES.c.uuid == bindparam("a_uuid"),
    )
    .values(mac=bindparam("a_mac"))
)


def add() -> None:
    """What older programs do not look at, and leave empty."""
    add_column("addresses", Column("mac", text(17)))
    create_index("addresses_by_mac", "addresses", ["mac", "network"])


def fill(connection: Connection, after: str) -> str | None:
    """What stands in a guest's record stands beside its address too. Where it does not, as older
    programs leave it, the record is asked.
    """
    rows = connection.execute(_SOME, {"after": after}).all()
    values = [row for uuid, record in rows for row in _rows(uuid, record)]
    if values:
        connection.execute(_SET, values)
    return rows[-1].uuid if rows else None


def upgrade() -> None:
    """All of it; what was done ahead is left."""
    add()
    fill_all(fill)


def _rows(uuid: str, record: bytes) -> Iterator[dict[str, str]]:
    """None for a damaged record, which is told of when it is read."""
    try:
        for address in msgpack.unpackb(record)["value"]["addresses"]:
            yield {
                "a_uuid": uuid,
                "an_ip": address["ip"],
                "a_network": address["network"],
                "a_mac": (address["mac"] or "").lower(),
            }
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        return
