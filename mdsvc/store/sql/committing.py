"""A write, and whether it has taken place.

Where the connection is lost while a transaction commits, nobody has said whether it did. So each
transaction also writes its revision to a row of its writer's own, and whoever is left without an
answer looks there, before anything is tried again. He looks in a transaction that takes a revision
too: it is in the way of the lost one, if that is still on its way, so one of both is over then.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from time import monotonic

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update

from mdsvc.errors import MdsvcError, Unavailable
from mdsvc.store import Stale
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.errors import ConnectionLost, translated
from mdsvc.store.sql.tables import META
from mdsvc.store.sql.writing import Packed, next_revision, write

PATIENCE = 8
"""Seconds for which it is looked whether a transaction has taken place."""

REMEMBERED = 10_000
"""Revisions after which a writer's row is of no use to anybody."""

_WRITER = "writer:"
_NAME: BindParameter[str] = bindparam("a_name")
_SET = update(META).where(META.c.name == _NAME)
_ADD = insert(META)
_OLD = delete(META).where(
    META.c.name > _WRITER, META.c.name < "writer;", META.c.value < bindparam("oldest")
)
_LAST = select(META.c.value).where(META.c.name == _NAME)


class Writer:
    """Writes transactions to a database."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._name = _WRITER + token_hex(16)

    async def carry_out(self, packed: Packed) -> None:
        """Check what was read, and write. Raises Stale where it certainly did not take place, and
        may be tried again, and Unavailable.
        """
        revision = 0
        async with self._engines.writes.connect() as connection:
            try:
                with translated():
                    revision = await write(connection, packed)
                    await self._note(connection, revision)
                    if self._engines.notify:
                        await connection.exec_driver_sql(self._engines.notify)
            except ConnectionLost as error:
                raise Stale(str(error)) from error
            committed = await self._commit(connection)
        if not committed and not await self._took_place(revision):
            raise Stale("the connection was lost before the change was committed")

    async def _note(self, connection: AsyncConnection, revision: int) -> None:
        noted = await connection.execute(_SET, {"a_name": self._name, "value": revision})
        if noted.rowcount == 0:
            await connection.execute(_ADD, {"name": self._name, "value": revision})
            await connection.execute(_OLD, {"oldest": revision - REMEMBERED})

    async def _commit(self, connection: AsyncConnection) -> bool:
        """Whether it is known to have taken place. Raises Stale where it surely has not."""
        try:
            with translated():
                await connection.commit()
        except MdsvcError:  # not Stale: that is an answer
            return False
        return True

    async def _took_place(self, revision: int) -> bool:
        """Raises Unavailable where that cannot be found out."""
        give_up = monotonic() + PATIENCE
        while True:
            try:
                with translated():
                    return await self._last() == revision
            except (Stale, Unavailable) as error:
                if monotonic() > give_up:
                    raise Unavailable(
                        f"it is not known whether the change has taken place: look first; {error}"
                    ) from error
            await asyncio.sleep(0.1)

    async def _last(self) -> int | None:
        async with self._engines.writes.begin() as connection:
            await next_revision(connection)
            last: int | None = await connection.scalar(_LAST, {"a_name": self._name})
            return last
