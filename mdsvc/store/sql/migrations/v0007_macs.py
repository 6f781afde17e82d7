"""guests by their MAC addresses"""  # noqa: D415  # shown after a number

from __future__ import annotations

from collections.abc import Iterator

import msgpack
from alembic import op
from sqlalchemy import Column, MetaData, Table, bindparam, select, update

from mdsvc.store.sql.columns import BYTES, text
from mdsvc.store.sql.ddl import add_column, create_index

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

_SOME = (
    select(_GUESTS.c.uuid, _GUESTS.c.record)
    .where(_GUESTS.c.uuid > bindparam("after"))
    .order_by(_GUESTS.c.uuid)
    .limit(_BATCH)
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


def upgrade() -> None:
    """What stands in a guest's record stands beside its address too. Where it does not, as older
    programs leave it, the record is asked.
    """
    add_column("addresses", Column("mac", text(17)))
    create_index("addresses_by_mac", "addresses", ["mac", "network"])
    after = ""
    while rows := op.get_bind().execute(_SOME, {"after": after}).all():
        values = [row for uuid, record in rows for row in _rows(uuid, record)]
        if values:
            op.get_bind().execute(_SET, values)
        after = rows[-1].uuid


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
