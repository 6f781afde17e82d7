"""Snapshots and transactions, on whatever engine: reads now, changes later, once all was checked.

Nothing is locked while a use case reads and thinks. It is right on any database that lets nobody
else in between an engine's look at the revisions and its writes, whatever is isolated otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Generic, TypeVar

from mdsvc.errors import Conflict
from mdsvc.instance import PlacedInstance
from mdsvc.store import Stale
from mdsvc.store.changes import Changes, Key, Put, Reading, Stored, addresses
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.topology import Host

T = TypeVar("T")


class ReadSnapshot:
    """The ``Snapshot`` over a reading."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def get_host(self, name: str) -> Host | None:
        return _value(await self._reading.host(name))

    async def list_hosts(self) -> Listing[Host]:
        return (await self._reading.hosts()).map(_its_value)

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return _value(await self._reading.instance(uuid))

    async def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]:
        return (await self._reading.instances(host)).map(_its_value)

    async def owner(self, ip: str, network: str) -> str | None:
        return await self._reading.owner(ip, network)

    async def fleet(self) -> int:
        return await self._reading.fleet()


def _value(stored: Stored[T] | None) -> T | None:
    return None if stored is None else stored.value


def _its_value(stored: Stored[T]) -> T:
    return stored.value


class BufferedTransaction:
    """The ``Transaction`` over a reading; what it comes to is in ``changes``."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._hosts: _Overlay[Host] = _Overlay("host")
        self._guests: _Overlay[PlacedInstance] = _Overlay("instance")
        self._forgotten: set[str] = set()
        self._fleet: int | None = None
        self._moves_fleet = False

    def changes(self) -> Changes:
        """What is to be carried out when the block has ended."""
        read: dict[Key, int | None] = {("host", key): at for key, at in self._hosts.only_read()}
        read |= {("instance", key): at for key, at in self._guests.only_read()}
        return Changes(
            read=read,
            fleet=self._fleet,
            moves_fleet=self._moves_fleet,
            removed_instances=self._guests.removed,
            forgotten=sorted(self._forgotten & self._guests.changed.keys()),
            put_hosts=self._hosts.puts(),
            put_instances=self._guests.puts(),
            removed_hosts=self._hosts.removed,
        )

    # ---- hosts ----

    async def get_host(self, name: str) -> Host | None:
        return self._hosts.see(name, await self._reading.host(name))

    async def list_hosts(self) -> Listing[Host]:
        hosts = await self._reading.hosts()
        return self._hosts.overlaid(hosts, [stored.value.name for stored in hosts])

    async def add_host(self, host: Host) -> bool:
        if await self.get_host(host.name):
            return False
        self._hosts.put(host.name, host)
        self._moves_fleet = True
        return True

    async def update_host(self, host: Host) -> None:
        before = self._hosts.rest_on(host.name)
        self._hosts.put(host.name, host)
        self._moves_fleet |= before.service_version != host.service_version

    async def remove_host(self, name: str) -> bool:
        if not await self._hosts.can_go(name, self._reading.host(name)):
            return False
        guests = await self.list_instances(name)
        for uuid in (*(guest.uuid for guest in guests), *(bad.key for bad in guests.damaged)):
            raise Conflict(f"host {name}: expected no guests on it, but {uuid} is")
        self._hosts.remove(name)
        return True

    async def fleet(self) -> int:
        fleet = await self._reading.fleet()
        if self._fleet not in (None, fleet):
            raise Stale("the fleet has changed since it was read")
        self._fleet = fleet
        return fleet

    # ---- guests ----

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return self._guests.see(uuid, await self._reading.instance(uuid))

    async def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]:
        guests = await self._reading.instances(host)
        listed = self._guests.overlaid(guests, [stored.value.uuid for stored in guests])
        here = (guest for guest in listed if host in (None, guest.host))
        return Listing(here, listed.damaged)

    async def add_instance(self, instance: PlacedInstance) -> bool:
        if await self.get_instance(instance.uuid):
            return False
        await self._put_guest(instance)
        return True

    async def update_instance(self, instance: PlacedInstance) -> None:
        before = await self.get_instance(instance.uuid)
        if before is None or before.generation != instance.generation - 1:
            raise Stale(f"instance {instance.uuid} has changed since it was read, or is gone")
        await self._put_guest(instance)

    async def remove_instance(self, uuid: str) -> bool:
        if not await self._guests.can_go(uuid, self._reading.instance(uuid)):
            return False
        self._guests.remove(uuid)
        return True

    async def forget_told(self, uuid: str) -> None:
        self._forgotten.add(uuid)

    async def owner(self, ip: str, network: str) -> str | None:
        for guest in self._guests.changed.values():
            if (ip, network) in addresses(guest):
                return guest.uuid
        uuid = await self._reading.owner(ip, network)
        return None if uuid in self._guests.changed or uuid in self._guests.removed else uuid

    async def _put_guest(self, guest: PlacedInstance) -> None:
        for ip, network in addresses(guest):
            if (owner := await self.owner(ip, network)) not in (None, guest.uuid):
                raise Conflict(f"addresses: {ip} on {network} is that of {owner}")
        self._guests.put(guest.uuid, guest)


class _Overlay(Generic[T]):
    """Hosts or guests as they were read, and what a transaction makes of them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._listed: dict[str, Stored[T]] = {}
        self._seen: dict[str, Stored[T] | None] = {}
        self._damaged: dict[str, int] = {}
        self.changed: dict[str, T] = {}
        self.removed: dict[str, int] = {}

    def see(self, key: str, stored: Stored[T] | None) -> T | None:
        """The value as it is for this transaction, which from now on relies on it.

        Raises Stale where the engine shows what others have done meanwhile, and they did.
        """
        before = self._seen.setdefault(key, self._listed.get(key, stored))
        if _revision(before) != _revision(stored):
            raise Stale(f"{self._what} {key} has changed since it was read")
        return self.changed.get(key, None if key in self.removed else _value(stored))

    async def can_go(self, key: str, read: Awaitable[Stored[T] | None]) -> bool:
        """Is there something to remove? What cannot be read is, too."""
        try:
            return self.see(key, await read) is not None
        except BadRecord as damaged:
            self._damaged[key] = damaged.revision
            return key not in self.removed

    def overlaid(self, listing: Listing[Stored[T]], keys: Iterable[str]) -> Listing[T]:
        """A listing with the changes of this transaction, in the order of the keys."""
        listed = dict(zip(keys, listing, strict=True))
        self._listed = listed | self._listed
        values = {key: stored.value for key, stored in listed.items() if key not in self.removed}
        ordered = (value for _, value in sorted((values | self.changed).items(), key=_key))
        return Listing(ordered, (bad for bad in listing.damaged if bad.key not in self.removed))

    def rest_on(self, key: str) -> T:
        """The value that a change replaces. Raises Stale where this transaction removed it."""
        before = self._seen.setdefault(key, self._listed.get(key))
        value = self.changed.get(key, _value(before))
        assert value is not None, f"a {self._what} is read before it is changed"
        if key in self.removed:
            raise Stale(f"{self._what} {key} is gone")
        return value

    def put(self, key: str, value: T) -> None:
        assert key not in self.removed, "what was removed comes back in another transaction"
        self.changed[key] = value

    def remove(self, key: str) -> None:
        """What this transaction has added, and nobody else has seen, leaves no trace."""
        self.changed.pop(key, None)
        if key in self._damaged:
            self.removed[key] = self._damaged[key]
        elif stored := self._seen[key]:
            self.removed[key] = stored.revision

    def puts(self) -> dict[str, Put[T]]:
        """What is to be stored, in the order of the keys, in which every transaction locks."""
        return {key: Put(_revision(self._seen[key]), v) for key, v in sorted(self.changed.items())}

    def only_read(self) -> list[tuple[str, int | None]]:
        """The revisions of what was read by its key and not changed, None where none was there."""
        written = self.changed.keys() | self.removed.keys()
        return [(key, _revision(at)) for key, at in self._seen.items() if key not in written]


def _revision(stored: Stored[T] | None) -> int | None:
    return None if stored is None else stored.revision


def _key(item: tuple[str, object]) -> str:
    return item[0]
