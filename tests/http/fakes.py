"""Stores that satisfy what answering guests needs (``mdsvc.store.GuestStore``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from mdsvc.instance import PlacedInstance, macs_on
from mdsvc.locking import Lock
from mdsvc.reports import Report, Status, replaced
from mdsvc.store.feed import Change
from mdsvc.waiting import Waiting


class FakeStore:
    """Guests in a dict; a test changes one by ``put``, and ``waiting`` is told."""

    def __init__(self, *guests: PlacedInstance) -> None:
        self.guests = {guest.uuid: guest for guest in guests}
        self.passwords: dict[str, bytes] = {}
        self.reports: dict[str, Report] = {}
        self.locks: dict[str, Lock] = {}
        self.waiting = Waiting()

    def put(self, guest: PlacedInstance) -> None:
        self.guests[guest.uuid] = guest
        self.waiting.changed([Change(1, "instance", guest.uuid, guest.generation)])

    def remove(self, uuid: str) -> None:
        del self.guests[uuid]
        self.waiting.changed([Change(1, "instance", uuid, None)])

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return self.guests.get(uuid)

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        return [
            guest.uuid
            for guest in self.guests.values()
            if any(a.ip == ip and network in (None, a.network) for a in guest.addresses)
        ]

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        return [guest.uuid for guest in self.guests.values() if mac in macs_on(guest, network)]

    async def password(self, uuid: str) -> bytes | None:
        return self.passwords.get(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        if uuid in self.passwords:
            return False
        self.passwords[uuid] = password
        return True

    async def report(self, uuid: str) -> Report | None:
        return self.reports.get(uuid)

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        self.reports[uuid] = replaced(self.reports.get(uuid), status, at)

    async def user_data_lock(self, uuid: str) -> Lock | None:
        return self.locks.get(uuid)

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        assert self.locks.get(uuid) == before
        self.locks[uuid] = after

    async def position(self) -> int:
        """It has no feed of its own."""
        return 0

    @asynccontextmanager
    async def hurried(self, _hurry: Callable[[], None]) -> AsyncIterator[None]:
        yield


class SealedStore:
    """Fails whatever is asked of it: who is refused must be refused before any look-up."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or AssertionError("the store was asked")

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        raise self.error

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        raise self.error

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        raise self.error

    async def password(self, uuid: str) -> bytes | None:
        raise self.error

    async def set_password(self, uuid: str, password: bytes) -> bool:
        raise self.error

    async def report(self, uuid: str) -> Report | None:
        raise self.error

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        raise self.error

    async def user_data_lock(self, uuid: str) -> Lock | None:
        raise self.error

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        raise self.error
