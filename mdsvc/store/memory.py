"""The store in memory, for tests and demonstrations: nothing is left when the process ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, TypeVar

import msgspec

from mdsvc.bearer import Bearer
from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance, macs_on
from mdsvc.locking import OPENED, Lock
from mdsvc.reports import Report, Status, now_ms, replaced, told
from mdsvc.store import Stale
from mdsvc.store.changes import Changes, Key, Put, Stored, addresses
from mdsvc.store.feed import PAGE, Bell, Change, ChangePage, Kind, new_floor
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.store.outlines import Outline, outline_of
from mdsvc.store.transaction import BufferedTransaction, ReadSnapshot
from mdsvc.topology import Host

T = TypeVar("T")


class Tables(msgspec.Struct, frozen=True):
    """What is stored. A change is a change of a copy."""

    hosts: dict[str, Stored[Host]] = {}
    instances: dict[str, Stored[PlacedInstance]] = {}
    addresses: dict[tuple[str, str], str] = {}
    passwords: dict[str, bytes] = {}
    reports: dict[str, Report] = {}
    locks: dict[str, Lock] = {}
    removals: tuple[Change, ...] = ()
    revision: int = 0
    fleet: int = 0
    floor: int = 0
    damaged: Mapping[Key, str] = {}

    def next(self) -> Tables:
        """A copy, to be changed, at the next revision."""
        return Tables(
            dict(self.hosts),
            dict(self.instances),
            dict(self.addresses),
            dict(self.passwords),
            dict(self.reports),
            dict(self.locks),
            self.removals,
            self.revision + 1,
            self.fleet,
            self.floor,
            self.damaged,
        )

    def changes(self, after: int) -> list[Change]:
        """All that has changed since a revision, in order."""
        changes = chain(
            (Change(at, "host", name, at) for name, (at, _) in self.hosts.items()),
            (Change(at, "instance", u, g.generation) for u, (at, g) in self.instances.items()),
            self.removals,
        )
        return sorted(change for change in changes if change.revision > after)


class MemoryReading:
    """The ``Reading`` of tables: of those that are there when it reads."""

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables

    async def host(self, name: str) -> Stored[Host] | None:
        return _sound(self.read("host", name))

    async def hosts(self) -> Listing[Stored[Host]]:
        return _listing(self.read("host", name) for name in sorted(self._tables().hosts))

    async def hosts_after(self, after: str | None, limit: int) -> Listing[Stored[Host]]:
        hosts = await self.hosts()
        page = [stored for stored in hosts if stored.value.name > (after or "")]
        damaged = (bad for bad in hosts.damaged if bad.key > (after or ""))
        return _page(page, damaged, limit)

    async def instance(self, uuid: str) -> Stored[PlacedInstance] | None:
        return _sound(self.read("instance", uuid))

    async def instances(self, host: str | None) -> Listing[Stored[PlacedInstance]]:
        guests = sorted(self._tables().instances.items())
        return _listing(
            self.read("instance", uuid)
            for uuid, stored in guests
            if host in (None, stored.value.host)
        )

    async def instances_after(
        self, after: str | None, limit: int, *, host: str | None, project_id: str | None
    ) -> Listing[Stored[PlacedInstance]]:
        guests = await self.instances(host)
        page = [
            stored
            for stored in guests
            if stored.value.uuid > (after or "")
            if project_id in (None, stored.value.project_id)
        ]
        damaged = (bad for bad in guests.damaged if bad.key > (after or ""))
        return _page(page, damaged, limit)

    async def owner(self, ip: str, network: str) -> str | None:
        return self._tables().addresses.get((ip, network))

    async def fleet(self) -> int:
        return self._tables().fleet

    def read(self, kind: Kind, key: str) -> Any:
        """What is stored, a BadRecord for what cannot be read, or None."""
        tables = self._tables()
        table: Mapping[str, Stored[Any]] = tables.hosts if kind == "host" else tables.instances
        stored = table.get(key)
        why = tables.damaged.get((kind, key))
        if stored is None or why is None:
            return stored
        name = "host" if kind == "host" else "guest"
        damaged = BadRecord(f"the stored {name} {key} is damaged: {why}", key)
        return damaged.found(stored.revision, getattr(stored.value, "host", None))


def _sound(read: Stored[T] | BadRecord | None) -> Stored[T] | None:
    if isinstance(read, BadRecord):
        raise read
    return read


def _listing(read: Iterable[Stored[T] | BadRecord]) -> Listing[Stored[T]]:
    every = list(read)
    sound = (each for each in every if not isinstance(each, BadRecord))
    return Listing(sound, (each for each in every if isinstance(each, BadRecord)))


def _page(
    values: Sequence[Stored[T]], damaged: Iterable[BadRecord], limit: int
) -> Listing[Stored[T]]:
    return Listing(values[:limit], damaged)


class MemoryStore:
    """The ``Store`` in memory."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._bell = Bell()
        self._bearers: dict[str, Bearer] = {}

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        stored = await self._reading().instance(uuid)
        return None if stored is None else stored.value

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        return sorted(set(self._owners(ip, network)))

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        guests = [stored.value for stored in self._tables.instances.values()]
        return sorted(guest.uuid for guest in guests if mac in macs_on(guest, network))

    async def password(self, uuid: str) -> bytes | None:
        return self._tables.passwords.get(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Raises NotFound."""
        if uuid not in self._tables.instances:
            raise NotFound.instance(uuid)
        if uuid in self._tables.passwords:
            return False
        passwords = {**self._tables.passwords, uuid: password}
        self._tables = msgspec.structs.replace(self._tables, passwords=passwords)
        return True

    async def report(self, uuid: str) -> Report | None:
        return self._tables.reports.get(uuid)

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        """Raises NotFound."""
        if uuid not in self._tables.instances:
            raise NotFound.instance(uuid)
        before = self._tables.reports.get(uuid)
        if before is None or not before.makes_superfluous(status, at):
            reports = {**self._tables.reports, uuid: replaced(before, status, at)}
            self._tables = msgspec.structs.replace(self._tables, reports=reports)

    async def user_data_lock(self, uuid: str) -> Lock | None:
        return self._tables.locks.get(uuid)

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        """Raises NotFound and Stale."""
        if uuid not in self._tables.instances:
            raise NotFound.instance(uuid)
        if self._tables.locks.get(uuid) != before:
            raise Stale(f"the lock of the user data of {uuid} has changed")
        locks = {**self._tables.locks, uuid: after}
        self._tables = msgspec.structs.replace(self._tables, locks=locks)

    async def reports(self, uuids: Sequence[str] | None = None) -> Mapping[str, Report]:
        reports = self._tables.reports
        wanted = reports if uuids is None else reports.keys() & set(uuids)
        return {uuid: reports[uuid] for uuid in wanted}

    async def outlines(self, uuids: Sequence[str]) -> Mapping[str, Outline | BadRecord]:
        reading = self._reading()
        read = {uuid: reading.read("instance", uuid) for uuid in uuids}
        return {
            uuid: stored if isinstance(stored, BadRecord) else outline_of(stored.value)
            for uuid, stored in read.items()
            if stored is not None
        }

    async def reports_after(self, after: str, limit: int, since: int) -> Mapping[str, Report]:
        reports = self._tables.reports
        wanted = (u for u in reports if u > after and reports[u].received_at >= since)
        return {uuid: reports[uuid] for uuid in sorted(wanted)[:limit]}

    async def list_hosts(self, after: str | None, limit: int) -> Listing[Host]:
        hosts = await self._reading().hosts_after(after, limit)
        return hosts.map(lambda stored: stored.value)

    async def list_instances(
        self, host: str | None, project_id: str | None, after: str | None, limit: int
    ) -> Listing[PlacedInstance]:
        reading = self._reading()
        guests = await reading.instances_after(after, limit, host=host, project_id=project_id)
        return guests.map(lambda stored: stored.value)

    async def clear_password(self, uuid: str) -> bool:
        passwords = dict(self._tables.passwords)
        cleared = passwords.pop(uuid, None) is not None
        self._tables = msgspec.structs.replace(self._tables, passwords=passwords)
        return cleared

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadSnapshot]:
        yield ReadSnapshot(self._reading())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        transaction = BufferedTransaction(self._reading())
        yield transaction
        if changes := transaction.changes():
            self._tables = _changed(self._tables, changes)
            self._bell.ring()

    async def position(self) -> int:
        return self._tables.revision

    async def changes(self, after: int, limit: int = PAGE) -> ChangePage:
        tables = self._tables
        if not tables.floor <= after <= tables.revision:
            return ChangePage(tables.revision, reset=True)
        changes = tables.changes(after)
        if len(changes) <= limit:
            return ChangePage(tables.revision, changes)
        last = changes[limit - 1].revision
        return ChangePage(last, [change for change in changes if change.revision <= last])

    @asynccontextmanager
    async def hurried(self, hurry: Callable[[], None]) -> AsyncIterator[None]:
        with self._bell.heard_by(hurry):
            yield

    async def bearers(self) -> Sequence[Bearer]:
        return [bearer for _, bearer in sorted(self._bearers.items())]

    async def add_bearer(self, bearer: Bearer) -> bool:
        return self._bearers.setdefault(bearer.name, bearer) is bearer

    async def remove_bearer(self, name: str) -> bool:
        return self._bearers.pop(name, None) is not None

    async def note_bearer_used(self, name: str, at: int) -> None:
        if bearer := self._bearers.get(name):
            self._bearers[name] = msgspec.structs.replace(bearer, used_at=at)

    async def ready(self) -> None:
        """Memory always is."""

    def damage(self, kind: Kind, key: str, why: str) -> None:
        """Let a record be one that cannot be read, until it is removed: for tests."""
        damaged = {**self._tables.damaged, (kind, key): why}
        self._tables = msgspec.structs.replace(self._tables, damaged=damaged)

    async def close(self) -> None:
        """There is no connection."""

    def _reading(self) -> MemoryReading:
        tables = self._tables
        return MemoryReading(lambda: tables)

    def _owners(self, ip: str, network: str | None) -> Iterator[str]:
        for (its_ip, its_network), uuid in self._tables.addresses.items():
            if its_ip == ip and network in (None, its_network):
                yield uuid


def _changed(before: Tables, changes: Changes) -> Tables:
    """The tables with the changes. Raises Stale."""
    tables = before.next()
    for (kind, key), revision in changes.read.items():
        _check(tables.hosts if kind == "host" else tables.instances, key, revision)
    if changes.fleet not in (None, tables.fleet):
        raise Stale("the fleet has changed since it was read")
    for uuid, revision in changes.removed_instances.items():
        _remove(tables.instances, uuid, revision)
        _remove_addresses(tables, uuid)
    for uuid in (*changes.removed_instances, *changes.forgotten):
        tables.passwords.pop(uuid, None)
        tables.reports.pop(uuid, None)
        tables.locks.pop(uuid, None)
    tables.locks.update(dict.fromkeys(changes.forgotten, OPENED))
    for name, host in changes.put_hosts.items():
        _put(tables.hosts, name, host, tables.revision)
    for uuid, guest in changes.put_instances.items():
        _put(tables.instances, uuid, guest, tables.revision)
        if report := tables.reports.get(uuid):
            tables.reports[uuid] = told(report, now_ms())
        _remove_addresses(tables, uuid)
    _add_addresses(tables, changes)
    _remove_hosts(tables, changes)
    gone = {("instance", uuid) for uuid in changes.removed_instances}
    gone |= {("host", name) for name in changes.removed_hosts}
    damaged = {key: why for key, why in tables.damaged.items() if key not in gone}
    tables = msgspec.structs.replace(tables, damaged=damaged)
    fleet = tables.revision if changes.moves_fleet else tables.fleet
    return msgspec.structs.replace(_with_removals(tables, changes), fleet=fleet)


def _remove_hosts(tables: Tables, changes: Changes) -> None:
    for name, revision in changes.removed_hosts.items():
        _remove(tables.hosts, name, revision)
    if not {stored.value.host for stored in tables.instances.values()} <= tables.hosts.keys():
        raise Stale("a guest's host is gone")


def _with_removals(tables: Tables, changes: Changes) -> Tables:
    """The tables that remember what was removed, and forget what was long ago."""
    gone = [
        *(Change(tables.revision, "instance", uuid, None) for uuid in changes.removed_instances),
        *(Change(tables.revision, "host", name, None) for name in changes.removed_hosts),
    ]
    floor = new_floor(tables.revision) or tables.floor
    kept = (change for change in tables.removals if change.revision > floor)
    return msgspec.structs.replace(tables, removals=(*kept, *gone), floor=floor)


def _check(table: dict[str, Any], key: str, revision: int | None) -> None:
    stored = table.get(key)
    if (stored and stored.revision) != revision:
        raise Stale(f"{key} has changed since it was read")


def _put(table: dict[str, Any], key: str, put: Put[Any], revision: int) -> None:
    _check(table, key, put.replaces)
    table[key] = Stored(revision, put.value)


def _remove(table: dict[str, Any], key: str, revision: int) -> None:
    _check(table, key, revision)
    del table[key]


def _remove_addresses(tables: Tables, uuid: str) -> None:
    for address in [key for key, owner in tables.addresses.items() if owner == uuid]:
        del tables.addresses[address]


def _add_addresses(tables: Tables, changes: Changes) -> None:
    for uuid, guest in changes.put_instances.items():
        for address in addresses(guest.value):
            if tables.addresses.setdefault(address, uuid) != uuid:
                raise Stale(f"{address[0]} on {address[1]} has been taken")
