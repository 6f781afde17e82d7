"""Reading hosts and guests in one snapshot of a SQL database.

A listing asks for keys and revisions first, which an index has, and then for the records of those
alone whose values are not kept, some at a time; they are unpacked beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, or_, select

from mdsvc.instance import PlacedInstance
from mdsvc.store.changes import Stored
from mdsvc.store.kept import Kept
from mdsvc.store.records import GUEST, HOST, unpack
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.tables import ADDRESSES, FLEET, HOSTS, INSTANCES, META
from mdsvc.topology import Host

T = TypeVar("T")

_BATCH = 256
"""Records that are fetched and unpacked at a time: some tens of milliseconds of work."""

_NAME: BindParameter[str] = bindparam("a_name")
_UUID: BindParameter[str] = bindparam("a_uuid")
_KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)

_HOST_KEYS = select(HOSTS.c.name, HOSTS.c.revision)
_HOST_RECORDS = select(HOSTS.c.name, HOSTS.c.revision, HOSTS.c.record)
_HOST = _HOST_RECORDS.where(HOSTS.c.name == _NAME)
_SOME_HOSTS = _HOST_RECORDS.where(HOSTS.c.name.in_(_KEYS))

_GUEST_KEYS = select(INSTANCES.c.uuid, INSTANCES.c.revision)
_GUEST_KEYS_ON = _GUEST_KEYS.where(INSTANCES.c.host == _NAME)
_GUEST_RECORDS = select(INSTANCES.c.uuid, INSTANCES.c.revision, INSTANCES.c.record)
GUEST_OF_UUID = _GUEST_RECORDS.where(INSTANCES.c.uuid == _UUID)
_SOME_GUESTS = _GUEST_RECORDS.where(INSTANCES.c.uuid.in_(_KEYS))

_OF: Mapping[str, ColumnElement[bool]] = {
    "host": INSTANCES.c.host == bindparam("host"),
    "project_id": or_(
        INSTANCES.c.project_id == bindparam("project_id"), INSTANCES.c.project_id.is_(None)
    ),
}
"""Which guests a page is of; in the end a record says whose it is."""

_OWNER = select(ADDRESSES.c.uuid).where(
    ADDRESSES.c.ip == bindparam("an_ip"), ADDRESSES.c.network == bindparam("a_network")
)
_FLEET = select(META.c.value).where(META.c.name == FLEET)


class Caches(NamedTuple):
    """The values that a store keeps of its records."""

    hosts: Kept[Host]
    guests: Kept[PlacedInstance]


def caches() -> Caches:
    """Room for every host of some ten thousand, since each placement looks at them all; and for
    the guests that ask.
    """
    return Caches(Kept(HOST, 32 * 2**20), Kept(GUEST, 16 * 2**20))


class SqlReading:
    """The ``Reading`` of one connection."""

    def __init__(self, connection: AsyncConnection, kept: Caches) -> None:
        self._connection = connection
        self._kept = kept

    async def host(self, name: str) -> Stored[Host] | None:
        rows = await self._rows(_HOST, a_name=name)
        return self._kept.hosts.read(*rows[0]) if rows else None

    async def hosts(self) -> Sequence[Stored[Host]]:
        keys = await self._rows(_HOST_KEYS)
        self._kept.hosts.forget_others({key for key, _ in keys})
        return await self._listed(self._kept.hosts, keys, _SOME_HOSTS)

    async def hosts_after(self, after: str | None, limit: int) -> Sequence[Stored[Host]]:
        keys = await self._rows(_page(_HOST_KEYS, HOSTS.c.name), after=after or "", most=limit)
        return await self._listed(self._kept.hosts, keys, _SOME_HOSTS)

    async def instance(self, uuid: str) -> Stored[PlacedInstance] | None:
        rows = await self._rows(GUEST_OF_UUID, a_uuid=uuid)
        return self._kept.guests.read(*rows[0]) if rows else None

    async def instances(self, host: str | None) -> Sequence[Stored[PlacedInstance]]:
        if host is None:
            keys = await self._rows(_GUEST_KEYS)
        else:
            keys = await self._rows(_GUEST_KEYS_ON, a_name=host)
        return await self._listed(self._kept.guests, keys, _SOME_GUESTS)

    async def instances_after(
        self, after: str | None, limit: int, *, host: str | None, project_id: str | None
    ) -> Sequence[Stored[PlacedInstance]]:
        """What an older program wrote is picked out of as many pages as it takes, by its record."""
        asked = {"host": host, "project_id": project_id}
        given = {field: value for field, value in asked.items() if value is not None}
        keys = _page(_GUEST_KEYS, INSTANCES.c.uuid)
        for field in given:
            keys = keys.where(_OF[field])
        page: list[Stored[PlacedInstance]] = []
        while len(page) < limit:
            rows = await self._rows(keys, after=after or "", most=limit, **given)
            guests = await self._listed(self._kept.guests, rows, _SOME_GUESTS)
            page += [each for each in guests if project_id in (None, each.value.project_id)]
            if len(rows) < limit:
                break
            after = rows[-1].uuid
        return page[:limit]

    async def owner(self, ip: str, network: str) -> str | None:
        rows = await self._rows(_OWNER, an_ip=ip, a_network=network)
        return rows[0].uuid if rows else None

    async def fleet(self) -> int:
        [row] = await self._rows(_FLEET)
        revision: int = row.value
        return revision

    async def _listed(
        self, kept: Kept[T], keys: Iterable[tuple[str, int]], records: Any
    ) -> list[Stored[T]]:
        """The values of these revisions, by key; Python orders text as the bytes of its UTF-8."""
        ordered = sorted(keys, key=itemgetter(0))  # rows compare slowly
        values = {key: kept.get(key, revision) for key, revision in ordered}
        for some in _batches([key for key, stored in values.items() if stored is None]):
            rows = await self._rows(records, keys=some)
            fresh = await asyncio.to_thread(_unpacked, kept, rows)
            for row, stored in zip(rows, fresh, strict=True):
                kept.keep_listed(row[0], stored, len(row[2]))
                values[row[0]] = stored
        return [stored for stored in values.values() if stored is not None]

    async def _rows(self, statement: Any, **values: Any) -> Sequence[Any]:
        return (await self._connection.execute(statement, values)).all()


def _page(keys: Select[Any], key: ColumnElement[str]) -> Select[Any]:
    """Of these keys, in the order of their bytes, a number of those that follow one."""
    return keys.where(key > bindparam("after")).order_by(key).limit(bindparam("most"))


def _unpacked(kept: Kept[T], rows: Sequence[Any]) -> list[Stored[T]]:
    return [Stored(revision, unpack(kept.kind, key, record)) for key, revision, record in rows]


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))
