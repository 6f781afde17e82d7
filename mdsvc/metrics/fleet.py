"""The fleet in figures: pCPUs and guests of each host, by the changes of the store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily

from mdsvc.instance import PlacedInstance
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.topology import Host

_PAGE = 1000
"""Guests that are read at a time."""


class _Guest(NamedTuple):
    """What is counted of a guest."""

    host: str
    policy: str
    pinned: int


class Fleet:
    """A look reads only those guests that have changed since the last one."""

    def __init__(self, store: Store, count_drifted: Callable[[], Awaitable[int]]) -> None:
        self.is_known = False
        self._store = store
        self._hosts: Listing[Host] = Listing()
        self._guests: dict[str, _Guest] = {}
        self._unread: set[str] = set()
        self._drifted = 0
        self._heard_at: float | None = None
        self._count_drifted = count_drifted
        self._position: int | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Bring the figures up to date. Raises what the store raises."""
        async with self._looking:
            now = await self._store.position()
            if self._position is None or not await self._follow(self._position, now):
                await self._read_all()
                self._position = now
            async with self._store.snapshot() as snapshot:
                self._hosts = await snapshot.list_hosts()
            self._drifted = await self._count_drifted()
            self.is_known = True

    def forget(self) -> None:
        """The store does not answer: old figures are none."""
        self.is_known = False
        self._heard_at = None

    def hears(self, seconds: float) -> bool:
        """Whether the store has answered within so many seconds, while there is much to read."""
        return self._heard_at is not None and monotonic() - self._heard_at < seconds

    async def _follow(self, at: int, now: int) -> bool:
        """Read what has changed; False where that cannot be told any more."""
        changed: set[str] = set()
        while at < now:
            page = await self._store.changes(at)
            if page.reset:
                return False
            changed |= {change.key for change in page.changes if change.kind == "instance"}
            at = page.position
        for uuid in changed:
            await self._read(uuid)
        self._position = at
        return True

    async def _read_all(self) -> None:
        guests: dict[str, _Guest] = {}
        unread: set[str] = set()
        after: str | None = None
        while True:
            page = await self._store.list_instances(None, None, after, _PAGE)
            guests |= {guest.uuid: _counted(guest) for guest in page}
            unread |= {bad.key for bad in page.damaged}
            self._heard_at = monotonic()
            if len(page) < _PAGE:
                break
            after = page[-1].uuid
        self._guests, self._unread = guests, unread

    async def _read(self, uuid: str) -> None:
        self._guests.pop(uuid, None)
        self._unread.discard(uuid)
        try:
            guest = await self._store.get_instance(uuid)
        except BadRecord:
            self._unread.add(uuid)
            return
        if guest is not None:
            self._guests[uuid] = _counted(guest)

    # ---- figures ----

    def families(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the last look; none where there was none."""
        if self.is_known:
            guests = list(self._guests.values())
            yield self._pcpus(guests)
            yield _instances(guests)
            yield self._unreadable()
            yield GaugeMetricFamily(
                "mdsvc_drifted",
                "Guests that were told something and did not apply it, said so, or fell silent.",
                value=self._drifted,
            )

    def _unreadable(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "mdsvc_unreadable", "Stored records that cannot be read.", labels=("kind",)
        )
        family.add_metric(("host",), len(self._hosts.damaged))
        family.add_metric(("instance",), len(self._unread))
        return family

    def _pcpus(self, guests: Sequence[_Guest]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "mdsvc_pcpus",
            "pCPUs for dedicated vCPUs: free, pinned to one, or reserved: for an emulator, or idle"
            " beside a guest that must have its cores alone.",
            labels=("host", "state"),
        )
        pinned: Counter[str] = Counter()
        for guest in guests:
            pinned[guest.host] += guest.pinned
        for host in self._hosts:
            taken = sum(len(cell.pinned) for cell in host.cells)
            states = {
                "free": len(host.cpu_dedicated_set) - taken,
                "pinned": pinned[host.name],
                "reserved": taken - pinned[host.name],
            }
            for state, count in states.items():
                family.add_metric((host.name, state), count)
        return family


def _instances(guests: Sequence[_Guest]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "mdsvc_instances", "Guests by host and CPU policy.", labels=("host", "policy")
    )
    for labels, count in Counter((guest.host, guest.policy) for guest in guests).items():
        family.add_metric(labels, count)
    return family


def _counted(guest: PlacedInstance) -> _Guest:
    pinned = sum(len(cell.cpu_pinning) for cell in guest.layout.cells)
    return _Guest(guest.host, guest.layout.cpu_policy, pinned)
