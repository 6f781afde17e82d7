"""What guests' requests have read of a store, until its feed says that it has changed.

What is kept is given while all changes of up to ``SECONDS`` ago are known: one tiny query in that
time, whoever and however many ask. While the store's changes cannot be told, nothing is kept.
Passwords, reports and locks are always asked for anew, as the feed does not tell of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol

from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.locking import Lock
from mdsvc.reports import Report, Status
from mdsvc.store import GuestStore
from mdsvc.store.feed import Change

SECONDS = 0.2
"""The oldest that an answer may be, from before it was asked for."""

ROOM = 64 * 2**20
"""Bytes of what is kept, roughly: that of the guests' JSON, and some for each entry."""

_OVERHEAD = 500

_Address = tuple[str, str | None]
"""An IP or MAC address on a network."""


class _Entry(NamedTuple):
    value: Any
    size: int


class _Read(NamedTuple):
    """A read that is under way."""

    began: float
    task: asyncio.Task[Any]


class Feed(Protocol):
    """The follower of the store, that tells of its changes."""

    def knows(self, since: float) -> bool:
        """Whether all changes until then are told, by ``time.monotonic``."""

    async def catch_up(self, since: float) -> bool:
        """The same, once the store was asked if need be."""


class Followed:
    """What ``RecentReads`` keeps, for whoever waits for a change of it. It may be older than what
    others are given, as what has changed meanwhile is told.
    """

    def __init__(self, reads: RecentReads) -> None:
        self._reads = reads

    def kept_instance(self, uuid: str) -> PlacedInstance | None:
        guest: PlacedInstance | None = self._reads.followed(uuid)
        return guest

    def kept_owners(self, ip: str, network: str | None) -> Sequence[str]:
        return self._reads.followed((ip, network)) or ()


class RecentReads:
    """A ``GuestStore`` before another one, and a ``Listener`` of its changes."""

    def __init__(
        self,
        store: GuestStore,
        feed: Feed,
        room: int = ROOM,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.size = 0
        self._store = store
        self._feed = feed
        self._room = room
        self._clock = clock
        self._kept: dict[str | _Address, _Entry] = {}
        self._reads: dict[str | _Address, _Read] = {}

    # ---- what is asked ----

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        guest: PlacedInstance | None = await self._get(uuid, self._store.get_instance, uuid)
        return guest

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        uuids: Sequence[str] = await self._get((ip, network), self._store.find, ip, network)
        return uuids

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        uuids: Sequence[str] = await self._get((mac, network), self._store.find_mac, mac, network)
        return uuids

    def kept_instance(self, uuid: str) -> PlacedInstance | None:
        """If it is kept, and may be given; it is not asked for."""
        guest: PlacedInstance | None = self._of_now(uuid)
        return guest

    def kept_owners(self, ip: str, network: str | None) -> Sequence[str]:
        """Of an address, likewise; nobody where they are not kept."""
        return self._of_now((ip, network)) or ()

    def followed(self, key: str | _Address) -> Any:
        """What is kept, if whatever changes is told: for whoever waits for that."""
        entry = self._kept.get(key)
        return entry.value if entry and self._feed.knows(0) else None

    async def password(self, uuid: str) -> bytes | None:
        return await self._store.password(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        return await self._store.set_password(uuid, password)

    async def report(self, uuid: str) -> Report | None:
        return await self._store.report(uuid)

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        await self._store.set_report(uuid, status, at)

    async def user_data_lock(self, uuid: str) -> Lock | None:
        return await self._store.user_data_lock(uuid)

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        await self._store.set_user_data_lock(uuid, before, after)

    # ---- what has changed ----

    def changed(self, changes: Sequence[Change]) -> None:
        """Forget these guests, and who has which address: a new one may have that of any other."""
        guests = [change.key for change in changes if change.kind == "instance"]
        if guests:
            addresses = [key for key in (*self._kept, *self._reads) if isinstance(key, tuple)]
            for uuid in guests:
                self._forget(uuid)
            for address in addresses:
                self._forget(address)

    def reset(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._reads.clear()
        self.size = 0

    def cut_off(self) -> None:
        """The feed knows no more what has changed, and says so; it tells that later."""

    # ---- keeping ----

    def _of_now(self, key: str | _Address) -> Any:
        """What is kept, and is no older than it may be."""
        entry = self._kept.get(key)
        return entry.value if entry and self._feed.knows(self._clock() - SECONDS) else None

    async def _get(
        self, key: str | _Address, read: Callable[..., Awaitable[Any]], *asked: str | None
    ) -> Any:
        """Most requests find what they ask for, and wait for nobody."""
        since = self._clock() - SECONDS
        if not (self._feed.knows(since) or await self._feed.catch_up(since)):
            return await read(*asked)
        if entry := self._kept.get(key):
            return entry.value
        under_way = self._reads.get(key)
        if under_way is None or under_way.began < since:
            task = asyncio.ensure_future(read(*asked))
            under_way = self._reads[key] = _Read(self._clock(), task)
            task.add_done_callback(lambda _: self._done(key, under_way))
        return await asyncio.shield(under_way.task)

    def _done(self, key: str | _Address, read: _Read) -> None:
        """Keep what was read, if it has not changed meanwhile."""
        if self._reads.get(key) is not read:
            return
        del self._reads[key]
        if not read.task.cancelled() and read.task.exception() is None:
            value = read.task.result()
            size = _OVERHEAD + (len(to_json(value)) if value else 0)
            self._kept[key] = _Entry(value, size)
            self.size += size
            while self.size > self._room:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: str | _Address) -> None:
        """Also what is being read, as that may be from before."""
        self._reads.pop(key, None)
        if entry := self._kept.pop(key, None):
            self.size -= entry.size
