"""A guest that waits for what is kept, and knows it, is held without a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from typing_extensions import override

from tests.http.fakes import FakeStore
from tests.http.guests import RICH_UUID, rich
from tests.http.signing import signed
from tests.http.test_at_once import DOCUMENT, NEUTRON, Kept, Served, Starting, request, seen
from tests.http.test_waiting import at_once, until
from tests.http.wire import Reply

WAITS = DOCUMENT + "?wait_for_change=true"
NETWORK = "/openstack/latest/network_data.json?wait_for_change=true"


@pytest.fixture
async def start() -> AsyncIterator[Starting]:
    async with AsyncExitStack() as stack:
        yield Starting(stack)


def change(served: Served, store: FakeStore, **fields: Any) -> None:
    store.guests[RICH_UUID] = replace(store.guests[RICH_UUID], **fields)
    served.follower.changed(RICH_UUID)


async def held(served: Served, target: str = WAITS, count: int = 1) -> asyncio.Task[Reply]:
    """A request that is held; the short way, as the guest has asked before."""
    await served.ask(DOCUMENT)
    served.handled.clear()
    task = asyncio.create_task(served.ask(target))
    await until(lambda: len(served.waiting) == count or task.done())
    return task


@pytest.mark.parametrize("settings", [{}, {**NEUTRON, "wait_seconds": 25}], ids=str)
async def test_who_waits_for_what_is_kept_takes_the_short_way(
    start: Starting, settings: dict[str, Any]
) -> None:
    store = FakeStore(rich())
    served = await start(store, **settings)
    headers = signed(project=rich().project_id) if settings else ()
    await served.ask(DOCUMENT, headers)
    waits = [asyncio.create_task(served.ask(WAITS, headers)) for _ in range(2)]
    await until(lambda: len(served.waiting) == 2)
    change(served, store, name="renamed")
    assert {(await at_once(each)).json["name"] for each in waits} == {"renamed"}
    assert served.handled == [DOCUMENT]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_both_ways_wait_alike(start: Starting, version: str) -> None:
    """Whatever is named, and whether something changes meanwhile: the reply is the same."""
    random = Random(version)
    shorter = 0
    for number in range(30):
        store = FakeStore(rich())
        servers = [await start(store, at_once=way) for way in (True, False)]
        tag = (await servers[0].ask(DOCUMENT)).headers["ETag"]
        await servers[1].ask(DOCUMENT)
        query = random.choice(("", "&last_etag=0", f"&last_etag={tag[3:-1]}", "&timeout_sec=x"))
        target = random.choice((WAITS, WAITS, NETWORK)) + query
        target += "" if "timeout" in query else random.choice(("&timeout_sec=0", "&timeout_sec=1"))
        tasks = [
            asyncio.create_task(each.ask.send(request(target, "GET", version, [])))
            for each in servers
        ]
        await asyncio.sleep(0.05)
        fields: dict[str, Any] = random.choice(({"name": "b"}, {"tokens": "required"}, {}))
        for each in servers if fields else ():
            change(each, store, **fields)
        short, long = await at_once(asyncio.gather(*tasks))
        assert seen(short) == seen(long), (number, target, fields)
        shorter += len(servers[0].handled) < len(servers[1].handled)
    assert shorter


async def test_a_change_of_something_else_leaves_it_held_until_its_time_is_up(
    start: Starting,
) -> None:
    store = FakeStore(rich())
    served = await start(store)
    await served.ask("/openstack/latest/network_data.json")
    began = asyncio.get_running_loop().time()
    task = await held(served, NETWORK + "&timeout_sec=2")
    for number in range(10):
        change(served, store, name=f"n{number}")
        await asyncio.sleep(0.1)
    assert not task.done()
    assert (await at_once(task)).status == 200
    assert asyncio.get_running_loop().time() - began > 1.9
    assert served.handled == []


async def test_who_hangs_up_is_forgotten_at_once(start: Starting) -> None:
    served = await start()
    await served.ask(DOCUMENT)
    for _ in range(3):
        kept = await Kept.to(served)
        kept.send(WAITS)
        await until(lambda: len(served.waiting) == 1)
        kept.writer.close()
        await until(lambda: len(served.waiting) == 0)


async def test_who_is_held_is_not_silent(start: Starting) -> None:
    served = await start(idle_seconds=0.5)
    kept = await Kept.to(served)
    kept.send(DOCUMENT)
    await kept.reply()
    kept.send(WAITS + "&timeout_sec=2")
    assert (await kept.reply()).status == 200
    assert await kept.is_at_its_end(), "a silent one ends"
    kept.writer.close()


async def test_a_guest_that_goes_or_is_another_one_meanwhile_is_404(start: Starting) -> None:
    store = FakeStore(rich())
    served = await start(store)
    task = await held(served)
    del store.guests[RICH_UUID]
    served.follower.changed(RICH_UUID)
    assert (await at_once(task)).status == 404
    assert len(served.waiting) == 0


async def test_a_store_that_fails_meanwhile_is_503(start: Starting) -> None:
    class Failing(FakeStore):
        is_down = False

        @override
        async def get_instance(self, uuid: str) -> Any:
            if self.is_down:
                raise OSError("the disk is gone")
            return await super().get_instance(uuid)

    store = Failing(rich())
    served = await start(store)
    task = await held(served)
    store.is_down = True
    change(served, store, name="b")
    assert (await at_once(task)).status == 503


async def test_a_server_that_ends_lets_those_that_are_held_go(start: Starting) -> None:
    served = await start()
    task = await held(served)
    served.waiting.close()
    assert (await at_once(task)).json["uuid"] == RICH_UUID
    assert (await at_once(served.ask(WAITS))).json["uuid"] == RICH_UUID


async def test_those_that_are_held_count_among_what_a_guest_may_ask(start: Starting) -> None:
    store = FakeStore(rich())
    served = await start(store)
    for _ in range(2):  # nothing of the first crowd is left
        tasks = [await held(served, count=number + 1) for number in range(16)]
        assert (await at_once(served.ask(WAITS))).status == 429
        change(served, store, name=f"{store.guests[RICH_UUID].name}+")
        await at_once(asyncio.gather(*tasks))
        assert len(served.waiting) == 0


class Crowd:
    """Connections by which a guest waits, and has sent no more."""

    def __init__(self, served: Served, store: FakeStore) -> None:
        self.served, self.store = served, store
        self.there: list[Kept] = []
        self._random = Random(11)
        self._changes = 0

    async def come(self) -> None:
        if len(self.there) < 12:
            self.there.append(await Kept.to(self.served))
            self.there[-1].send(WAITS)
            await asyncio.sleep(self._random.choice((0, 0.01)))

    async def leave(self) -> None:
        if self.there:
            self.there.pop(self._random.randrange(len(self.there))).writer.close()

    async def send_more(self) -> None:
        if self.there:
            self._random.choice(self.there).send("/openstack")

    async def cut(self) -> None:
        self.served.follower.is_cut_off = not self.served.follower.is_cut_off

    async def change(self) -> None:
        await until(lambda: len(self.served.waiting) == len(self.there))
        self._changes += 1
        change(self.served, self.store, name=f"n{self._changes}")
        for each in self.there:
            assert (await each.reply()).json["name"] == f"n{self._changes}"
        await self.end()

    async def end(self) -> None:
        for each in self.there:
            each.writer.close()
        self.there.clear()
        await until(lambda: len(self.served.waiting) == 0)

    async def step(self) -> None:
        ways = (self.come, self.come, self.come, self.leave, self.send_more, self.change, self.cut)
        await self._random.choice(ways)()


async def test_in_any_sequence_nobody_is_forgotten_and_nobody_misses_a_change(
    start: Starting,
) -> None:
    """Guests come, hang up, send more and are told, while the feed is cut off and mended."""
    store = FakeStore(rich())
    served = await start(store)
    await served.ask(DOCUMENT)
    crowd = Crowd(served, store)
    for _ in range(150):
        await crowd.step()
    await crowd.end()
    assert not served.guard.working
