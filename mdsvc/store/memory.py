"""The store in memory, for tests and demonstrations: nothing is left when the process ends.

Transactions run side by side, each on the tables as they were when it began. Where one has written
what another one has written since, the later commit is ``Stale``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from mdsvc.errors import Conflict, NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.store import Stale
from mdsvc.topology import Host


class Tables(msgspec.Struct, frozen=True):
    """What is stored. A change is a change of a copy."""

    hosts: dict[str, Host] = {}
    instances: dict[str, PlacedInstance] = {}
    addresses: dict[tuple[str, str], str] = {}
    passwords: dict[str, bytes] = {}

    def copy(self) -> Tables:
        """The same tables, to be changed."""
        return Tables(*(dict(table) for table in msgspec.structs.astuple(self)))


class MemoryTransaction:
    """The ``Transaction`` on a copy of the tables."""

    def __init__(self, before: Tables) -> None:
        self._before = before
        self._now = before.copy()
        self._read: set[str] = set()
        self._written: set[tuple[str, Any]] = set()

    async def get_host(self, name: str) -> Host | None:
        self._read.add(name)
        return self._now.hosts.get(name)

    async def list_hosts(self) -> Sequence[Host]:
        self._read.update(self._now.hosts)
        return [host for _, host in sorted(self._now.hosts.items())]

    async def add_host(self, host: Host) -> bool:
        if host.name in self._now.hosts:
            return False
        self._read.add(host.name)
        self._put("hosts", host.name, host)
        return True

    async def update_host(self, host: Host) -> None:
        assert host.name in self._read, "a host is read before it is changed"
        if host.name not in self._now.hosts:
            raise Stale(f"host {host.name} is gone")
        self._put("hosts", host.name, host)

    async def remove_host(self, name: str) -> bool:
        for guest in await self.list_instances(name):
            raise Conflict(f"host {name}: expected no guests on it, but {guest.uuid} is")
        return self._drop("hosts", name)

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return self._now.instances.get(uuid)

    async def list_instances(self, host: str | None = None) -> Sequence[PlacedInstance]:
        guests = sorted(self._now.instances.items())
        return [guest for _, guest in guests if host in (None, guest.host)]

    async def add_instance(self, instance: PlacedInstance) -> bool:
        if instance.uuid in self._now.instances:
            return False
        self._put_instance(instance)
        return True

    async def update_instance(self, instance: PlacedInstance) -> None:
        stored = self._now.instances.get(instance.uuid)
        if stored is None or stored.generation != instance.generation - 1:
            raise Stale(f"instance {instance.uuid} has changed since it was read, or is gone")
        self._drop_addresses(stored)
        self._put_instance(instance)

    async def remove_instance(self, uuid: str) -> bool:
        stored = self._now.instances.get(uuid)
        if stored is not None:
            self._drop_addresses(stored)
        self._drop("passwords", uuid)
        return self._drop("instances", uuid)

    async def clear_password(self, uuid: str) -> bool:
        return self._drop("passwords", uuid)

    async def owner(self, ip: str, network: str) -> str | None:
        return self._now.addresses.get((ip, network))

    def merged(self, current: Tables) -> Tables:
        """The current tables with what this transaction has written. Raises Stale."""
        merged = current.copy()
        for name, key in self._written:
            before, now, there = (getattr(t, name) for t in (self._before, self._now, merged))
            if there.get(key) is not before.get(key):
                raise Stale(f"another transaction has written {name}: {key}")
            there.pop(key, None)
            if key in now:
                there[key] = now[key]
        if not {guest.host for guest in merged.instances.values()} <= merged.hosts.keys():
            raise Stale("a guest's host is gone")
        return merged

    def _put_instance(self, instance: PlacedInstance) -> None:
        for address in instance.addresses:
            key = (address.ip, address.network)
            if owner := self._now.addresses.get(key):
                raise Conflict(f"addresses: {address.ip} on {address.network} is that of {owner}")
            self._put("addresses", key, instance.uuid)
        self._put("instances", instance.uuid, instance)

    def _drop_addresses(self, instance: PlacedInstance) -> None:
        for address in instance.addresses:
            self._drop("addresses", (address.ip, address.network))

    def _put(self, table: str, key: Any, value: object) -> None:
        self._written.add((table, key))
        getattr(self._now, table)[key] = value

    def _drop(self, table: str, key: Any) -> bool:
        self._written.add((table, key))
        return getattr(self._now, table).pop(key, None) is not None


class MemoryStore:
    """The ``Store`` in memory."""

    def __init__(self) -> None:
        self._tables = Tables()

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return self._tables.instances.get(uuid)

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        return sorted(set(self._owners(ip, network)))

    async def password(self, uuid: str) -> bytes | None:
        return self._tables.passwords.get(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Raises NotFound."""
        if uuid not in self._tables.instances:
            raise NotFound(f"instance {uuid}: no such instance is stored")
        if uuid in self._tables.passwords:
            return False
        passwords = {**self._tables.passwords, uuid: password}
        self._tables = msgspec.structs.replace(self._tables, passwords=passwords)
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        transaction = MemoryTransaction(self._tables)
        yield transaction
        self._tables = transaction.merged(self._tables)

    async def ready(self) -> None:
        """Memory always is."""

    async def close(self) -> None:
        """There is no connection."""

    def _owners(self, ip: str, network: str | None) -> Iterator[str]:
        for (its_ip, its_network), uuid in self._tables.addresses.items():
            if its_ip == ip and network in (None, its_network):
                yield uuid
