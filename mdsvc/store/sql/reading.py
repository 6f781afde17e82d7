"""Reading hosts and guests in one snapshot of a SQL database.

A listing asks for keys and revisions first, which an index has, and then for the records of those
alone whose values are not kept, some at a time; they are unpacked beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, or_, select

from mdsvc.instance import PlacedInstance
from mdsvc.store.changes import Stored
from mdsvc.store.kept import Kept
from mdsvc.store.listing import BadRecord, Listing
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
_GUEST_RECORDS = select(
    INSTANCES.c.uuid, INSTANCES.c.revision, INSTANCES.c.record, INSTANCES.c.host
)
GUEST_OF_UUID = _GUEST_RECORDS.where(INSTANCES.c.uuid == _UUID)
SOME_GUESTS = _GUEST_RECORDS.where(INSTANCES.c.uuid.in_(_KEYS))

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

    async def hosts(self) -> Listing[Stored[Host]]:
        keys = await self._rows(_HOST_KEYS)
        self._kept.hosts.forget_others({key for key, _ in keys})
        return await self._listed(self._kept.hosts, keys, _SOME_HOSTS)

    async def hosts_after(self, after: str | None, limit: int) -> Listing[Stored[Host]]:
        keys, page = _page(_HOST_KEYS, HOSTS.c.name), _Page[Host](limit)
        while page.wants_more:
            rows = await self._rows(keys, after=after or "", most=limit)
            page.take(rows, await self._listed(self._kept.hosts, rows, _SOME_HOSTS))
            after = page.last
        return page.listing()

    async def instance(self, uuid: str) -> Stored[PlacedInstance] | None:
        rows = await self._rows(GUEST_OF_UUID, a_uuid=uuid)
        return self._kept.guests.read(*rows[0]) if rows else None

    async def instances(self, host: str | None) -> Listing[Stored[PlacedInstance]]:
        if host is None:
            keys = await self._rows(_GUEST_KEYS)
        else:
            keys = await self._rows(_GUEST_KEYS_ON, a_name=host)
        return await self._listed(self._kept.guests, keys, SOME_GUESTS)

    async def instances_after(
        self, after: str | None, limit: int, *, host: str | None, project_id: str | None
    ) -> Listing[Stored[PlacedInstance]]:
        """What an older program wrote, and what can be read, is picked out of as many pages as it
        takes.
        """
        asked = {"host": host, "project_id": project_id}
        given = {field: value for field, value in asked.items() if value is not None}
        keys = _page(_GUEST_KEYS, INSTANCES.c.uuid)
        for field in given:
            keys = keys.where(_OF[field])
        page = _Page[PlacedInstance](limit)
        while page.wants_more:
            rows = await self._rows(keys, after=after or "", most=limit, **given)
            guests = await self._listed(self._kept.guests, rows, SOME_GUESTS)
            theirs = (each for each in guests if project_id in (None, each.value.project_id))
            page.take(rows, Listing(theirs, guests.damaged))
            after = page.last
        return page.listing()

    async def owner(self, ip: str, network: str) -> str | None:
        rows = await self._rows(_OWNER, an_ip=ip, a_network=network)
        return rows[0].uuid if rows else None

    async def fleet(self) -> int:
        [row] = await self._rows(_FLEET)
        revision: int = row.value
        return revision

    async def _listed(
        self, kept: Kept[T], keys: Iterable[tuple[str, int]], records: Any
    ) -> Listing[Stored[T]]:
        """The values of these revisions, by key; Python orders text as the bytes of its UTF-8."""
        ordered = sorted(keys, key=itemgetter(0))  # rows compare slowly
        values = {key: kept.get(key, revision) for key, revision in ordered}
        damaged: list[BadRecord] = []
        for some in _batches([key for key, stored in values.items() if stored is None]):
            rows = await self._rows(records, keys=some)
            fresh = await asyncio.to_thread(_unpacked, kept, rows)
            for row, stored in zip(rows, fresh, strict=True):
                if isinstance(stored, BadRecord):
                    damaged.append(stored)
                    continue
                kept.keep_listed(row[0], stored, len(row[2]))
                values[row[0]] = stored
        readable = (stored for stored in values.values() if stored is not None)
        return Listing(readable, sorted(damaged, key=attrgetter("key")))

    async def _rows(self, statement: Any, **values: Any) -> Sequence[Any]:
        return (await self._connection.execute(statement, values)).all()


def _page(keys: Select[Any], key: ColumnElement[str]) -> Select[Any]:
    """Of these keys, in the order of their bytes, a number of those that follow one."""
    return keys.where(key > bindparam("after")).order_by(key).limit(bindparam("most"))


class _Page(Generic[T]):
    """A page that is being filled, as not all rows that are read are of it."""

    def __init__(self, limit: int) -> None:
        self.wants_more = True
        self.last: str | None = None
        self._limit = limit
        self._values: list[Stored[T]] = []
        self._damaged: list[BadRecord] = []

    def take(self, rows: Sequence[Any], listing: Listing[Stored[T]]) -> None:
        """What some rows more have; fewer than were asked for are the last ones."""
        self._values += listing
        self._damaged += listing.damaged
        self.last = rows[-1][0] if rows else None
        self.wants_more = len(self._values) < self._limit == len(rows)

    def listing(self) -> Listing[Stored[T]]:
        return Listing(self._values[: self._limit], self._damaged)


def _unpacked(kept: Kept[T], rows: Sequence[Any]) -> list[Stored[T] | BadRecord]:
    return [_read(kept, *row) for row in rows]


def _read(
    kept: Kept[T], key: str, revision: int, record: bytes, host: str | None = None
) -> Stored[T] | BadRecord:
    try:
        return Stored(revision, unpack(kept.kind, key, record))
    except BadRecord as damaged:
        return damaged.found(revision, host)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))
