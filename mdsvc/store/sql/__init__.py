"""The store in a SQL database, by SQLAlchemy Core: ``reading`` in a snapshot, ``writing`` at the
end of a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, insert, or_, select

from mdsvc.errors import NotFound, Unavailable
from mdsvc.instance import PlacedInstance, macs_on
from mdsvc.locking import Lock
from mdsvc.store import Stale
from mdsvc.store.feed import PAGE, Bell, ChangePage
from mdsvc.store.gathering import Gathered
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.store.sql import feed, versions
from mdsvc.store.sql.committing import Writer
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.errors import ConnectionLost, translated
from mdsvc.store.sql.reading import GUEST_OF_UUID, SOME_GUESTS, SqlReading, caches
from mdsvc.store.sql.reports import SqlReports
from mdsvc.store.sql.tables import ADDRESSES, PASSWORDS
from mdsvc.store.sql.user_data import LOCK_OF_UUID, SqlUserData
from mdsvc.store.sql.writing import NEXT_REVISION, Packed
from mdsvc.store.transaction import BufferedTransaction, ReadSnapshot
from mdsvc.topology import Host

_UUID: BindParameter[str] = bindparam("a_uuid")
_IP: BindParameter[str] = bindparam("an_ip")
_NETWORK: BindParameter[str] = bindparam("a_network")
_MAC: BindParameter[str] = bindparam("a_mac")

_FIND = select(ADDRESSES.c.uuid).where(ADDRESSES.c.ip == _IP).order_by(ADDRESSES.c.uuid).distinct()
_FIND_ON = _FIND.where(ADDRESSES.c.network == _NETWORK)
_FIND_MAC = select(ADDRESSES.c.uuid, ADDRESSES.c.mac).where(
    ADDRESSES.c.network == _NETWORK, or_(ADDRESSES.c.mac == _MAC, ADDRESSES.c.mac.is_(None))
)
_PASSWORD = select(PASSWORDS.c.password).where(PASSWORDS.c.uuid == _UUID)
_ADD_PASSWORD = insert(PASSWORDS)
_CLEAR_PASSWORD = delete(PASSWORDS).where(PASSWORDS.c.uuid == _UUID)


class SqlStore(SqlReports, SqlUserData):
    """The ``Store`` in a SQL database. Made by ``open_sql``; ``close`` it in the end."""

    def __init__(self, engines: Engines) -> None:
        super().__init__(engines)
        self._writer = Writer(engines)
        self._kept = caches()
        self._bell = Bell()
        self._guests = Gathered(self._read_guests)
        self._position: tuple[int | None, int] | None = None

    # ---- guests ----

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return await self._guests.get(uuid)

    async def _read_guests(self, uuids: Sequence[str]) -> Mapping[str, PlacedInstance | Exception]:
        """Those of them that are stored. Of each size a database prepares a statement, so that is a
        power of two.
        """
        if len(uuids) == 1:
            rows = await self._read(GUEST_OF_UUID, a_uuid=uuids[0])
        else:
            filled = [*uuids, *repeat(uuids[0], 2 ** (len(uuids) - 1).bit_length() - len(uuids))]
            rows = await self._read(SOME_GUESTS, keys=filled)
        return {row.uuid: self._guest(row) for row in rows}

    def _guest(self, row: Any) -> PlacedInstance | Exception:
        try:
            return self._kept.guests.read(*row).value
        except BadRecord as error:
            return error

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        if network is None:
            rows = await self._read(_FIND, an_ip=ip)
        else:
            rows = await self._read(_FIND_ON, an_ip=ip, a_network=network)
        return [row.uuid for row in rows]

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        """Of what an older program wrote, the guest's record says it."""
        rows = await self._read(_FIND_MAC, a_mac=mac, a_network=network)
        uuids = {row.uuid for row in rows if row.mac is not None}
        for uuid in {row.uuid for row in rows} - uuids:
            guest = await self.get_instance(uuid)
            if guest and mac in macs_on(guest, network):
                uuids.add(uuid)
        return sorted(uuids)

    async def password(self, uuid: str) -> bytes | None:
        rows = await self._read(_PASSWORD, a_uuid=uuid)
        return rows[0].password if rows else None

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Of two at the same time, the primary key lets one win. Raises NotFound.

        Where it is not known whether it was stored, it was if it is there.
        """
        try:
            with translated():
                async with self._engines.writes.begin() as connection:
                    await connection.execute(_ADD_PASSWORD, {"uuid": uuid, "password": password})
        except (Stale, ConnectionLost) as error:
            stored = await self.password(uuid)
            if stored is None and await self.get_instance(uuid) is None:
                raise NotFound.instance(uuid) from None
            if stored is None:
                raise Unavailable(f"the store is busy: {error}") from error
            return isinstance(error, ConnectionLost) and stored == password
        return True

    async def clear_password(self, uuid: str) -> bool:
        with translated():
            async with self._engines.writes.begin() as connection:
                cleared = await connection.execute(_CLEAR_PASSWORD, {"a_uuid": uuid})
        return cleared.rowcount > 0

    async def user_data_lock(self, uuid: str) -> Lock | None:
        rows = await self._read(LOCK_OF_UUID, a_uuid=uuid)
        return Lock(*rows[0]) if rows else None

    # ---- operators ----

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadSnapshot]:
        async with self._reading() as reading:
            yield ReadSnapshot(reading)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        async with self._reading() as reading:
            transaction = BufferedTransaction(reading)
            yield transaction
        if changes := transaction.changes():
            packed = Packed(changes)
            with translated():
                await self._writer.carry_out(packed)
            self._bell.ring()

    # ---- changes ----

    async def position(self) -> int:
        """It is not read again where nobody has committed since; what is read is from after it was
        asked whether anybody has.
        """
        commits = self._engines.commits.number()
        if commits is None or self._position is None or self._position[0] != commits:
            [row] = await self._read(feed.POSITION)
            self._position = commits, row.value
        return self._position[1]

    async def changes(self, after: int, limit: int = PAGE) -> ChangePage:
        with translated():
            async with self._engines.snapshots.begin() as connection:
                return await feed.page(connection, after, limit)

    @asynccontextmanager
    async def hurried(self, hurry: Callable[[], None]) -> AsyncIterator[None]:
        listen = self._engines.listen
        listening = asyncio.create_task(listen(hurry)) if listen else None
        try:
            with self._bell.heard_by(hurry):
                yield
        finally:
            if listening:
                listening.cancel()
                await asyncio.wait([listening])

    # ---- all of it ----

    async def list_hosts(self, after: str | None, limit: int) -> Listing[Host]:
        async with self._reading() as reading:
            hosts = await reading.hosts_after(after, limit)
            return hosts.map(lambda stored: stored.value)

    async def list_instances(
        self, host: str | None, project_id: str | None, after: str | None, limit: int
    ) -> Listing[PlacedInstance]:
        async with self._reading() as reading:
            guests = await reading.instances_after(after, limit, host=host, project_id=project_id)
            return guests.map(lambda stored: stored.value)

    async def ready(self) -> None:
        """What a write begins with, undone: so it is seen that one would come through."""
        if self._engines.check:
            self._engines.check()
        with translated():
            async with self._engines.writes.connect() as connection:
                await connection.execute(NEXT_REVISION)
                await connection.rollback()

    async def close(self) -> None:
        await self._engines.dispose()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[SqlReading]:
        with translated():
            async with self._engines.snapshots.begin() as connection:
                yield SqlReading(connection, self._kept)

    async def _read(self, statement: Any, **values: Any) -> Sequence[Any]:
        """What one query finds; once more where a connection was no good any more."""
        try:
            return await self._read_once(statement, values)
        except ConnectionLost as error:
            if isinstance(error.__cause__, TimeoutError):
                raise  # whoever asks has waited long enough
            return await self._read_once(statement, values)

    async def _read_once(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        with translated():
            async with self._engines.reads.connect() as connection:
                return (await connection.execute(statement, values)).all()


async def open_sql(url: str) -> SqlStore:
    """Open the database of a URL, and make its tables where it is new.

    Raises BadInput where there can be no store, or one of another version, and Unavailable where
    it is locked for too long.
    """
    return SqlStore(await versions.opened(url))
