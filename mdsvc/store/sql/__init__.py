"""The store in a SQL database, by SQLAlchemy Core.

A write that is based on what was read names the generation it read, so that it is right on any
database, whatever this one isolates; SQLite, which lets one writer in at a time, never needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any

from sqlalchemy import BindParameter, CursorResult, bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection

from mdsvc.errors import BadInput, Conflict, MdsvcError, NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.store import Stale
from mdsvc.store.records import GUEST, HOST, Kind, T, pack, unpack
from mdsvc.store.sql import sqlite, tables, urls
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.tables import ADDRESSES, HOSTS, INSTANCES, META, PASSWORDS
from mdsvc.topology import Host

_NAME: BindParameter[str] = bindparam("a_name")
_UUID: BindParameter[str] = bindparam("a_uuid")
_IP: BindParameter[str] = bindparam("an_ip")
_NETWORK: BindParameter[str] = bindparam("a_network")
_READ: BindParameter[int] = bindparam("generation_read")

_HOSTS = select(HOSTS.c.name, HOSTS.c.record, HOSTS.c.generation).order_by(HOSTS.c.name)
_HOST = _HOSTS.where(HOSTS.c.name == _NAME)
_ADD_HOST = insert(HOSTS)
_UPDATE_HOST = update(HOSTS).where(HOSTS.c.name == _NAME, HOSTS.c.generation == _READ)
_REMOVE_HOST = delete(HOSTS).where(HOSTS.c.name == _NAME)

_INSTANCES = select(INSTANCES.c.uuid, INSTANCES.c.record).order_by(INSTANCES.c.uuid)
_INSTANCES_OF = _INSTANCES.where(INSTANCES.c.host == _NAME)
_GUEST_OF = select(INSTANCES.c.uuid).where(INSTANCES.c.host == _NAME).limit(1)
_INSTANCE = select(INSTANCES.c.record).where(INSTANCES.c.uuid == _UUID)
_ADD_INSTANCE = insert(INSTANCES)
_UPDATE_INSTANCE = update(INSTANCES).where(
    INSTANCES.c.uuid == _UUID, INSTANCES.c.generation == _READ
)
_REMOVE_INSTANCE = delete(INSTANCES).where(INSTANCES.c.uuid == _UUID)

_FIND = select(ADDRESSES.c.uuid).where(ADDRESSES.c.ip == _IP).order_by(ADDRESSES.c.uuid).distinct()
_FIND_ON = _FIND.where(ADDRESSES.c.network == _NETWORK)
_ADD_ADDRESS = insert(ADDRESSES)
_REMOVE_ADDRESSES = delete(ADDRESSES).where(ADDRESSES.c.uuid == _UUID)

_PASSWORD = select(PASSWORDS.c.password).where(PASSWORDS.c.uuid == _UUID)
_ADD_PASSWORD = insert(PASSWORDS)
_CLEAR_PASSWORD = delete(PASSWORDS).where(PASSWORDS.c.uuid == _UUID)
_VERSION = select(META.c.value)

_CONFLICTS = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "40001", "40P01", 1020, 1205, 1213})
"""How SQLite, PostgreSQL and MariaDB say that another transaction was in the way."""


@contextmanager
def _errors() -> Iterator[None]:
    """The database's errors as ours: Stale where it helps to run the transaction again."""
    try:
        yield
    except (IntegrityError, NoConnection) as error:
        raise Stale(str(getattr(error, "orig", error))) from error
    except DBAPIError as error:
        if _is_conflict(error.orig):
            raise Stale(str(error.orig)) from error
        raise MdsvcError(f"the store does not work: {error.orig}") from error
    except UnicodeEncodeError as error:
        raise BadInput(f"expected text in UTF-8, got {error.object!r}") from None


def _is_conflict(error: BaseException | None) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))  # SQLITE_BUSY_SNAPSHOT is a SQLITE_BUSY
    codes = {"_".join(name.split("_")[:2]), getattr(error, "sqlstate", None)}
    return not _CONFLICTS.isdisjoint(codes | set(getattr(error, "args", ())[:1]))


async def _unpacked(kind: Kind[T], rows: Iterable[Any]) -> list[T]:
    """The values of many records; whoever else is waiting gets a turn now and then."""
    values = []
    for at, row in enumerate(rows, 1):
        values.append(unpack(kind, row[0], row.record))
        if at % 64 == 0:
            await asyncio.sleep(0)
    return values


class SqlTransaction:
    """The ``Transaction`` of a SQL database: one connection, from BEGIN to COMMIT."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._generations: dict[str, int] = {}

    async def get_host(self, name: str) -> Host | None:
        found = await self._hosts(await self._run(_HOST, a_name=name))
        return found[0] if found else None

    async def list_hosts(self) -> Sequence[Host]:
        return await self._hosts(await self._run(_HOSTS))

    async def add_host(self, host: Host) -> bool:
        if (await self._run(_HOST, a_name=host.name)).first():
            return False
        record = pack(HOST, host.name, host)
        await self._run(_ADD_HOST, name=host.name, generation=1, record=record)
        self._generations[host.name] = 1
        return True

    async def update_host(self, host: Host) -> None:
        assert host.name in self._generations, "a host is read before it is changed"
        read = self._generations[host.name]
        record = pack(HOST, host.name, host)
        values = {"generation": read + 1, "record": record}
        done = await self._run(_UPDATE_HOST, a_name=host.name, generation_read=read, **values)
        _check_one(done, f"host {host.name}")
        self._generations[host.name] = read + 1

    async def remove_host(self, name: str) -> bool:
        if guest := (await self._run(_GUEST_OF, a_name=name)).scalar():
            raise Conflict(f"host {name}: expected no guests on it, but {guest} is")
        return (await self._run(_REMOVE_HOST, a_name=name)).rowcount > 0

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        record = (await self._run(_INSTANCE, a_uuid=uuid)).scalar_one_or_none()
        return None if record is None else unpack(GUEST, uuid, record)

    async def list_instances(self, host: str | None = None) -> Sequence[PlacedInstance]:
        if host is None:
            return await _unpacked(GUEST, await self._run(_INSTANCES))
        return await _unpacked(GUEST, await self._run(_INSTANCES_OF, a_name=host))

    async def add_instance(self, instance: PlacedInstance) -> bool:
        if (await self._run(_INSTANCE, a_uuid=instance.uuid)).first():
            return False
        await self._run(_ADD_INSTANCE, uuid=instance.uuid, **_columns(instance))
        await self._add_addresses(instance)
        return True

    async def update_instance(self, instance: PlacedInstance) -> None:
        read = {"a_uuid": instance.uuid, "generation_read": instance.generation - 1}
        done = await self._run(_UPDATE_INSTANCE, **read, **_columns(instance))
        _check_one(done, f"instance {instance.uuid}")
        await self._run(_REMOVE_ADDRESSES, a_uuid=instance.uuid)
        await self._add_addresses(instance)

    async def remove_instance(self, uuid: str) -> bool:
        return (await self._run(_REMOVE_INSTANCE, a_uuid=uuid)).rowcount > 0

    async def clear_password(self, uuid: str) -> bool:
        return (await self._run(_CLEAR_PASSWORD, a_uuid=uuid)).rowcount > 0

    async def owner(self, ip: str, network: str) -> str | None:
        return (await self._run(_FIND_ON, an_ip=ip, a_network=network)).scalar_one_or_none()

    async def _add_addresses(self, instance: PlacedInstance) -> None:
        for address in instance.addresses:
            key = {"ip": address.ip, "network": address.network}
            if owner := await self.owner(**key):
                raise Conflict(f"addresses: {address.ip} on {address.network} is that of {owner}")
            await self._run(_ADD_ADDRESS, uuid=instance.uuid, **key)

    async def _hosts(self, rows: CursorResult[Any]) -> list[Host]:
        found = rows.all()
        self._generations.update((row.name, row.generation) for row in found)
        return await _unpacked(HOST, found)

    async def _run(self, statement: Any, **values: Any) -> CursorResult[Any]:
        done: CursorResult[Any] = await self._connection.execute(statement, values)
        return done


def _columns(instance: PlacedInstance) -> dict[str, Any]:
    """What is stored of a guest, beside its UUID."""
    record = pack(GUEST, instance.uuid, instance)
    return {"host": instance.host, "generation": instance.generation, "record": record}


def _check_one(done: CursorResult[Any], what: str) -> None:
    if done.rowcount != 1:
        raise Stale(f"{what} has changed since it was read, or is gone")


class SqlStore:
    """The ``Store`` in a SQL database. Made by ``open_sql``; ``close`` it in the end."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        found = await self._read(_INSTANCE, a_uuid=uuid)
        return unpack(GUEST, uuid, found[0]) if found else None

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        if network is None:
            return await self._read(_FIND, an_ip=ip)
        return await self._read(_FIND_ON, an_ip=ip, a_network=network)

    async def password(self, uuid: str) -> bytes | None:
        found = await self._read(_PASSWORD, a_uuid=uuid)
        return found[0] if found else None

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Of two at the same time, the primary key lets one win. Raises NotFound."""
        values = {"uuid": uuid, "password": password}
        with _errors():
            try:
                async with self._engines.writes.begin() as connection:
                    await connection.execute(_ADD_PASSWORD, values)
            except IntegrityError:
                if await self.password(uuid) is None:
                    raise NotFound(f"instance {uuid}: no such instance is stored") from None
                return False
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        with _errors():
            async with self._engines.writes.begin() as connection:
                yield SqlTransaction(connection)

    async def ready(self) -> None:
        await self._read(_VERSION)

    async def close(self) -> None:
        for engine in self._engines:
            await engine.dispose()

    async def _read(self, statement: Any, **values: str) -> Sequence[Any]:
        """The first column of what one query finds."""
        with _errors():
            async with self._engines.reads.connect() as connection:
                found: Sequence[Any] = (await connection.execute(statement, values)).scalars().all()
        return found


async def open_sql(url: str) -> SqlStore:
    """Open the database of a URL, and make its tables where it is new.

    Raises BadInput where there can be no store.
    """
    where = f"--store {urls.shown(url)}"
    try:
        return await _opened(urls.connect(url))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
    except (MdsvcError, Stale) as error:
        raise BadInput(f"{where}: expected a database of mdsvc, or none yet; {error}") from None


async def _opened(engines: Engines) -> SqlStore:
    try:
        await _prepare(engines)
    except BaseException:
        await SqlStore(engines).close()
        raise
    return SqlStore(engines)


async def _prepare(engines: Engines) -> None:
    """Where two make a new SQLite file a write-ahead one, one is told at once that it is locked."""
    give_up = monotonic() + sqlite.BUSY_SECONDS
    while True:
        try:
            with _errors():
                return await tables.prepare(engines)
        except Stale:
            if monotonic() > give_up:
                raise
            await asyncio.sleep(0.05)
