"""What was read of a store a moment ago: a boot asks for a few dozen documents at once.

Nova keeps answers for 15 seconds, and so gives old ones; this is for the length of a burst only.
Passwords, reports, and what was not found, are always asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.reports import Report, Status
from mdsvc.store import GuestStore

SECONDS = 0.2
"""The oldest that an answer may be, from before it was asked for."""

ROOM = 64 * 2**20
"""Bytes of what is kept, roughly: that of the guests' JSON, and some for each entry."""

_OVERHEAD = 500


class _Entry(NamedTuple):
    read: float
    value: Any
    size: int


class RecentReads:
    """A ``GuestStore`` before another one."""

    def __init__(
        self, store: GuestStore, clock: Callable[[], float] = monotonic, room: int = ROOM
    ) -> None:
        self.size = 0
        self._store = store
        self._clock = clock
        self._room = room
        self._kept: dict[Hashable, _Entry] = {}

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        guest: PlacedInstance | None = self._recall(uuid)
        if guest is None:
            read_after = self._clock()
            guest = await self._store.get_instance(uuid)
            if guest is not None:
                self._keep(uuid, _Entry(read_after, guest, _OVERHEAD + len(to_json(guest))))
        return guest

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        key = (ip, network)
        uuids: Sequence[str] | None = self._recall(key)
        if uuids is None:
            read_after = self._clock()
            uuids = await self._store.find(ip, network)
            if uuids:
                self._keep(key, _Entry(read_after, uuids, _OVERHEAD * len(uuids)))
        return uuids

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        return await self._store.find_mac(mac, network)

    async def password(self, uuid: str) -> bytes | None:
        return await self._store.password(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        return await self._store.set_password(uuid, password)

    async def report(self, uuid: str) -> Report | None:
        return await self._store.report(uuid)

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        await self._store.set_report(uuid, status, at)

    def _recall(self, key: Hashable) -> Any:
        entry = self._kept.get(key)
        return entry.value if entry and not self._is_old(entry) else None

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        """The oldest make room, and go when their time is over."""
        self._drop(key)
        self._kept[key] = entry
        self.size += entry.size
        while self._kept:
            oldest = next(iter(self._kept))
            if self.size <= self._room and not self._is_old(self._kept[oldest]):
                break
            self._drop(oldest)

    def _is_old(self, entry: _Entry) -> bool:
        return self._clock() - entry.read >= SECONDS

    def _drop(self, key: Hashable) -> None:
        if entry := self._kept.pop(key, None):
            self.size -= entry.size
