"""Carrying changes out in a SQL database, in one short transaction.

Its first statement takes the store's next revision, and with it the row that every other one needs
for its own: they go on one after the other, and each sees what those before it have committed, also
where only READ COMMITTED is promised. On a cluster whose nodes lock nothing for one another, two
that took the same revision conflict in this row when they commit. So revisions are committed in
their order too. What a write replaces, it names by its revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    CursorResult,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from mdsvc.instance import PlacedInstance
from mdsvc.reports import now_ms
from mdsvc.store import Stale
from mdsvc.store.changes import Changes, Put
from mdsvc.store.feed import new_floor
from mdsvc.store.records import GUEST, HOST, Kind, form_of, pack
from mdsvc.store.sql import forms
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.reports import FORGET_REPORT, NOTE_TOLD
from mdsvc.store.sql.tables import (
    ADDRESSES,
    FLEET,
    FLOOR,
    HOSTS,
    INSTANCES,
    META,
    PASSWORDS,
    REMOVALS,
    REVISION,
)
from mdsvc.store.sql.user_data import open_anew
from mdsvc.topology import Host

T = TypeVar("T")

_KEY: BindParameter[str] = bindparam("a_key")
_READ: BindParameter[int] = bindparam("revision_read")

NEXT_REVISION = update(META).where(META.c.name == REVISION).values(value=META.c.value + 1)
_META = select(META.c.value).where(META.c.name == _KEY)
_SET_META = update(META).where(META.c.name == _KEY)

_KEYS = {"host": HOSTS.c.name, "instance": INSTANCES.c.uuid}
_TABLES = {"host": HOSTS, "instance": INSTANCES}
_REVISION = {
    kind: select(table.c.revision).where(_KEYS[kind] == _KEY) for kind, table in _TABLES.items()
}
_ADD = {kind: insert(table) for kind, table in _TABLES.items()}
_UPDATE = {
    kind: update(table).where(_KEYS[kind] == _KEY, table.c.revision == _READ)
    for kind, table in _TABLES.items()
}
_REMOVE = {
    kind: delete(table).where(_KEYS[kind] == _KEY, table.c.revision == _READ)
    for kind, table in _TABLES.items()
}
_ADD_REMOVAL = insert(REMOVALS)
_FORGET_REMOVALS = delete(REMOVALS).where(REMOVALS.c.revision <= _READ)
_ADD_ADDRESS = insert(ADDRESSES)
_REMOVE_ADDRESSES = delete(ADDRESSES).where(ADDRESSES.c.uuid == _KEY)
_FORGET_PASSWORD = delete(PASSWORDS).where(PASSWORDS.c.uuid == _KEY)

Row = dict[str, Any]


class Packed:
    """Changes as the rows that they write: packed before the lock is taken. Raises BadInput."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.hosts = {name: _host(put.value) for name, put in changes.put_hosts.items()}
        self.guests = {uuid: _guest(put.value) for uuid, put in changes.put_instances.items()}


def _host(host: Host) -> Row:
    return {"record": pack(HOST, host.name, host)}


def _guest(guest: PlacedInstance) -> Row:
    record = pack(GUEST, guest.uuid, guest)
    return {
        "host": guest.host,
        "project_id": guest.project_id,
        "generation": guest.generation,
        "record": record,
    }


async def write(connection: AsyncConnection, packed: Packed) -> int:
    """Check what was read, and write, at the revision that is given back. Raises Stale."""
    revision = await next_revision(connection)
    await _Write(connection, revision).all(packed)
    return revision


async def next_revision(connection: AsyncConnection) -> int:
    """Take the store's next revision: others wait for theirs until this transaction is over."""
    await connection.execute(NEXT_REVISION)
    revision: int = (await connection.execute(_META, {"a_key": REVISION})).scalar_one()
    return revision


class _Write:
    """The statements of one transaction."""

    def __init__(self, connection: AsyncConnection, revision: int) -> None:
        self._connection = connection
        self._revision = revision

    async def all(self, packed: Packed) -> None:
        changes = packed.changes
        await self._check_forms(HOST, packed.hosts)
        await self._check_forms(GUEST, packed.guests)
        await self._check(changes)
        await self._remove("instance", changes.removed_instances)
        for uuid in changes.forgotten:
            await self._run(_FORGET_PASSWORD, a_key=uuid)
            await self._run(FORGET_REPORT, a_key=uuid)
            await open_anew(self._connection, uuid)
        await self._put("host", changes.put_hosts, packed.hosts)
        await self._put("instance", changes.put_instances, packed.guests)
        await self._put_addresses(changes.put_instances)
        await self._remove("host", changes.removed_hosts)
        if changes.moves_fleet:
            await self._run(_SET_META, a_key=FLEET, value=self._revision)
        if floor := new_floor(self._revision):
            await self._run(_SET_META, a_key=FLOOR, value=floor)
            await self._run(_FORGET_REMOVALS, revision_read=floor)

    async def _check(self, changes: Changes) -> None:
        """What is only read, and so named by no write."""
        for (kind, key), revision in changes.read.items():
            if (await self._run(_REVISION[kind], a_key=key)).scalar_one_or_none() != revision:
                raise Stale(f"{kind} {key} has changed since it was read")
        if changes.fleet not in (None, (await self._run(_META, a_key=FLEET)).scalar_one()):
            raise Stale("the fleet has changed since it was read")

    async def _check_forms(self, kind: Kind[T], rows: Mapping[str, Row]) -> None:
        for key, row in rows.items():
            await forms.check(self._connection, kind, key, form_of(row["record"]) or kind.form)

    async def _put(self, kind: str, puts: Mapping[str, Put[T]], rows: Mapping[str, Row]) -> None:
        for key, put in puts.items():
            row = rows[key] | {"revision": self._revision}
            if put.replaces is None:
                await self._run(_ADD[kind], **{_KEYS[kind].name: key}, **row)
            else:
                await self._replace(_UPDATE[kind], kind, key, put.replaces, row)
                if kind == "instance":
                    await self._run(NOTE_TOLD, a_key=key, at=now_ms())

    async def _remove(self, kind: str, removed: Mapping[str, int]) -> None:
        for key, revision in removed.items():
            await self._replace(_REMOVE[kind], kind, key, revision, {})
            await self._run(_ADD_REMOVAL, revision=self._revision, kind=kind, name=key)

    async def _replace(self, statement: Any, kind: str, key: str, revision: int, row: Row) -> None:
        done = await self._run(statement, a_key=key, revision_read=revision, **row)
        if done.rowcount != 1:
            raise Stale(f"{kind} {key} has changed since it was read, or is gone")

    async def _put_addresses(self, guests: Mapping[str, Put[PlacedInstance]]) -> None:
        """The old ones go first: one guest may get what another one had."""
        for uuid in guests:
            await self._run(_REMOVE_ADDRESSES, a_key=uuid)
        for uuid, put in guests.items():
            for address in put.value.addresses:
                row = {"ip": address.ip, "network": address.network, "mac": address.mac or ""}
                await self._run(_ADD_ADDRESS, uuid=uuid, **row)

    async def _run(self, statement: Any, **values: Any) -> CursorResult[Any]:
        done: CursorResult[Any] = await self._connection.execute(statement, values)
        return done
