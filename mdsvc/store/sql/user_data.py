"""The locks of guests' user data, beside what the operator stores: no change of a guest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, bindparam, insert, select, update

from mdsvc.errors import NotFound
from mdsvc.locking import OPENED, Lock
from mdsvc.store import Stale
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.errors import ConnectionLost, translated
from mdsvc.store.sql.tables import INSTANCES, USER_DATA_LOCKS
from mdsvc.store.sql.tokens import SqlTokens

_KEY: BindParameter[str] = bindparam("a_key")
_CLOSES: BindParameter[int | None] = bindparam("closes_before")
_CLOSED: BindParameter[int | None] = bindparam("closed_before")

_OF = USER_DATA_LOCKS.c.uuid == _KEY
LOCK_OF_UUID = select(USER_DATA_LOCKS.c.closes_at, USER_DATA_LOCKS.c.closed_at).where(
    USER_DATA_LOCKS.c.uuid == bindparam("a_uuid")
)
_ADD = insert(USER_DATA_LOCKS)
_SET = update(USER_DATA_LOCKS).where(_OF)
_REPLACE = _SET.where(
    USER_DATA_LOCKS.c.closes_at.is_not_distinct_from(_CLOSES),
    USER_DATA_LOCKS.c.closed_at.is_not_distinct_from(_CLOSED),
)
_GUEST = select(INSTANCES.c.uuid).where(INSTANCES.c.uuid == _KEY)


class SqlUserData(SqlTokens):
    """The locks of a SQL store; they are read as guests are."""

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        """Raises NotFound; and Stale also where it may have been stored, which a look tells."""
        try:
            with translated():
                async with self._engines.writes.begin() as connection:
                    await _replace(connection, uuid, before, after)
        except ConnectionLost as error:
            raise Stale(str(error)) from error


async def open_anew(connection: AsyncConnection, uuid: str) -> None:
    """In the transaction that begins a new life of a guest."""
    opened = _row(OPENED)
    if (await connection.execute(_SET, {"a_key": uuid, **opened})).rowcount == 0:
        await connection.execute(_ADD, {"uuid": uuid, **opened})


async def _replace(
    connection: AsyncConnection, uuid: str, before: Lock | None, after: Lock
) -> None:
    """Of two new ones at the same time, the primary key lets one win."""
    if before:
        known = {"closes_before": before.closes_at, "closed_before": before.closed_at}
        values = {"a_key": uuid, **known, **_row(after)}
        if (await connection.execute(_REPLACE, values)).rowcount != 1:
            raise Stale(f"the lock of the user data of {uuid} has changed")
        return
    if not (await connection.execute(_GUEST, {"a_key": uuid})).all():
        raise NotFound.instance(uuid)
    await connection.execute(_ADD, {"uuid": uuid, **_row(after)})


def _row(lock: Lock) -> dict[str, Any]:
    return {"closes_at": lock.closes_at, "closed_at": lock.closed_at}
