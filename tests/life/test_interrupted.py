"""Each use case, interrupted by each other one at each of its reads, on a store that isolates no
more than READ COMMITTED: one comes after the other, or one is refused, and the books are true.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from mdsvc.control.draining import drain_host, move_guests
from mdsvc.control.hosts import add_host, remove_host, replace_host
from mdsvc.control.instances import change_instance, create_instance, delete_instance
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import rebuild_instance, resize_instance
from mdsvc.errors import MdsvcError
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.store.changes import Stored
from mdsvc.store.listing import Listing
from mdsvc.store.memory import MemoryReading, MemoryStore
from mdsvc.store.transaction import BufferedTransaction
from mdsvc.topology import Host
from tests.books.values import DEDICATED, MIXED, guest, uuid
from tests.life.values import flavor, fleet, image, on, placed_on, true_books, with_fields


class Interrupted(MemoryStore):
    """Before the read of that number, counted from 1, or the end of a transaction, the rival runs
    from its beginning to its end.
    """

    rival: UseCase | None = None
    at = 0
    reads = 0

    async def pause(self) -> None:
        self.reads += 1
        if self.rival and self.reads == self.at:
            rival, self.rival = self.rival, None
            await outcome(rival, self)

    @override
    def _reading(self) -> MemoryReading:
        return PausingReading(self)

    @override
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        async with super().transaction() as tx:
            yield tx
            await self.pause()


class PausingReading(MemoryReading):
    """Sees what was committed last, and may be interrupted before it looks."""

    def __init__(self, store: Interrupted) -> None:
        super().__init__(lambda: store._tables)
        self._pause = store.pause

    @override
    async def host(self, name: str) -> Stored[Host] | None:
        await self._pause()
        return await super().host(name)

    @override
    async def hosts(self) -> Listing[Stored[Host]]:
        await self._pause()
        return await super().hosts()

    @override
    async def instance(self, uuid: str) -> Stored[PlacedInstance] | None:
        await self._pause()
        return await super().instance(uuid)

    @override
    async def instances(self, host: str | None) -> Listing[Stored[PlacedInstance]]:
        await self._pause()
        return await super().instances(host)

    @override
    async def owner(self, ip: str, network: str) -> str | None:
        await self._pause()
        return await super().owner(ip, network)

    @override
    async def fleet(self) -> int:
        await self._pause()
        return await super().fleet()


UseCase = Callable[[Interrupted], Awaitable[object]]


def addressed(number: int, specs: dict[str, str]) -> Instance:
    return with_fields(guest(number, specs), addresses=[{"network": "n", "ip": "10.0.0.5"}])


USE_CASES: dict[str, UseCase] = {
    "create mixed": lambda s: create_instance(s, addressed(3, MIXED), None),
    "create on h2": lambda s: create_instance(s, guest(4, DEDICATED, 4), "h2"),
    "resize mixed": lambda s: resize_instance(s, uuid(1), flavor(MIXED, 3)),
    "resize to mixed": lambda s: resize_instance(s, uuid(2), flavor(MIXED, 2)),
    "resize elsewhere": lambda s: resize_instance(s, uuid(2), flavor(DEDICATED, 6)),
    "migrate mixed": lambda s: migrate_instance(s, uuid(1)),
    "migrate": lambda s: migrate_instance(s, uuid(2), "h2"),
    "rebuild": lambda s: rebuild_instance(s, uuid(1)),
    "refit": lambda s: rebuild_instance(s, uuid(1), image(hw_cpu_thread_policy="isolate")),
    "change": lambda s: change_instance(s, addressed(1, MIXED)),
    "change another": lambda s: change_instance(s, addressed(2, DEDICATED)),
    "delete": lambda s: delete_instance(s, uuid(2)),
    "drain h1": lambda s: move_guests(s, "h1"),
    "drain h2": lambda s: drain_host(s, "h2"),
    "an old host": lambda s: add_host(s, on("old", service_version=1)),
    "h3 is old": lambda s: replace_host(s, on("h3", service_version=1)),
    "h1 with fewer pCPUs": lambda s: replace_host(s, on("h1", cpu_dedicated_set="2-5")),
    "h2 with fewer pCPUs": lambda s: replace_host(s, on("h2", cpu_dedicated_set="5-7")),
    "h1 with one shared": lambda s: replace_host(s, on("h1", cpu_shared_set="0")),
    "remove h2": lambda s: remove_host(s, "h2"),
}


async def outcome(use_case: UseCase, store: Interrupted) -> str:
    """What it comes to: a word of ours, and never a fault."""
    try:
        await use_case(store)
    except MdsvcError as error:
        return error.code
    return "done"


async def filled() -> Interrupted:
    """A mixed and a dedicated guest on h1; h2 is empty, and h3 too small for both."""
    store = Interrupted()
    await fleet(on("h1"), on("h2"), on("h3", cpu_dedicated_set="2"), store=store)
    await placed_on(store, "h1", guest(1, MIXED), guest(2, DEDICATED, 2))
    await store.set_password(uuid(1), b"of the old life")
    return store


@pytest.mark.parametrize("name", USE_CASES)
async def test_whoever_comes_in_between_is_before_or_after(name: str) -> None:
    for rival in USE_CASES.values():
        at = 1
        while await one_run(USE_CASES[name], rival, at):
            at += 1
        assert at > 2, "it reads more than once"


async def one_run(use_case: UseCase, rival: UseCase, at: int) -> bool:
    """Whether it was interrupted there, and did not end before."""
    store = await filled()
    store.rival, store.at, store.reads = rival, at, 0
    before = store._tables
    told = await outcome(use_case, store)
    was_interrupted, store.rival = store.rival is None, None
    assert told in ("done", "conflict", "does_not_fit", "not_found"), told
    assert was_interrupted or told == "done" or store._tables == before
    await true_books(store)
    check_arrivals(store)
    return was_interrupted


def check_arrivals(store: Interrupted) -> None:
    """By the order of their revisions: nobody came to a host that was draining, nor became mixed
    once a host was behind.
    """
    tables = store._tables
    since = min(
        (stored.revision for stored in tables.hosts.values() if not stored.value.knows_mixed),
        default=tables.revision + 1,
    )
    for stored in tables.instances.values():
        placed = stored.value
        where = tables.hosts[placed.host]
        kept = placed.generation > 1 or placed.uuid in (uuid(1), uuid(2))
        if where.value.draining and not kept:
            assert stored.revision < where.revision
        if placed.layout.cpu_policy == "mixed" and placed.uuid != uuid(1):
            assert stored.revision < since
