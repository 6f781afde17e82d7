"""Every store tells what has changed: each change once, in order, and every removal."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from mdsvc.store import Stale, Store, Transaction, feed
from mdsvc.store.feed import Change

from .conftest import Open
from .values import changed, count_up, fill, guest, host, run, uuid

EVERYTHING = 0

Told = tuple[str, str, int | None]
"""Kind, key, and a guest's generation; "host" or None for what has none."""


def told(changes: Iterable[Change]) -> list[Told]:
    return [
        (c.kind, c.key, 0 if c.kind == "host" and not c.deleted else c.generation) for c in changes
    ]


def put(name: str) -> Told:
    return ("host", name, 0)


async def since(store: Store, after: int, limit: int = feed.PAGE) -> list[Change]:
    """All changes after a position, by pages."""
    changes: list[Change] = []
    while True:
        page = await store.changes(after, limit)
        assert not page.reset
        assert page.position >= after
        assert all(after < change.revision <= page.position for change in page.changes)
        changes += page.changes
        if page.position == after:
            assert not page.changes
            return changes
        after = page.position


async def remove(store: Store, *uuids: str) -> None:
    async with store.transaction() as tx:
        for one in uuids:
            assert await tx.remove_instance(one)


async def change(store: Store, number: int) -> None:
    async with store.transaction() as tx:
        stored = await tx.get_instance(uuid(number))
        assert stored
        await tx.update_instance(changed(stored))


async def test_a_new_store_has_no_changes(store: Store) -> None:
    assert await store.position() == 0
    assert await store.changes(0) == (0, [], False)


async def test_what_was_stored_in_one_transaction_comes_together(store: Store) -> None:
    await fill(store, host(), guest(1), guest(2))
    page = await store.changes(0)
    assert told(page.changes) == [put("h1"), ("instance", uuid(1), 1), ("instance", uuid(2), 1)]
    assert page.position == await store.position() == 1
    assert {change.revision for change in page.changes} == {1}


async def test_what_has_changed_since_a_position_comes_in_the_order_of_the_changes(
    store: Store,
) -> None:
    await fill(store, host(), host("h2"), guest(1), guest(2))
    before = await store.position()
    await change(store, 2)
    await run(store, count_up)
    await change(store, 1)
    assert told(await since(store, before)) == [
        ("instance", uuid(2), 2),
        put("h1"),
        ("instance", uuid(1), 2),
    ]


async def test_several_changes_of_one_guest_come_as_one_the_last(store: Store) -> None:
    await fill(store, host(), guest(1))
    before = await store.position()
    for _ in range(3):
        await change(store, 1)
    [only] = await since(store, before)
    assert (only.generation, only.revision) == (4, await store.position())


async def test_a_removal_comes_and_what_is_there_anew_comes_after_it(store: Store) -> None:
    await fill(store, host(), guest(1), guest(2))
    before = await store.position()
    await remove(store, uuid(1))
    await change(store, 2)
    assert told(await since(store, before)) == [
        ("instance", uuid(1), None),
        ("instance", uuid(2), 2),
    ]
    await fill(store, guest(1))
    await remove(store, uuid(1))
    await fill(store, guest(1))
    assert [one for one in told(await since(store, before)) if one[1] == uuid(1)] == [
        ("instance", uuid(1), None),
        ("instance", uuid(1), None),
        ("instance", uuid(1), 1),
    ]


async def test_hosts_that_go_are_told_too(store: Store) -> None:
    await fill(store, host(), host("h2"))
    before = await store.position()
    async with store.transaction() as tx:
        assert await tx.remove_host("h2")
    assert told(await since(store, before)) == [("host", "h2", None)]


async def test_what_comes_and_goes_in_one_transaction_is_no_change(store: Store) -> None:
    await fill(store, host())
    async with store.transaction() as tx:
        await tx.add_instance(guest(1))
        await tx.remove_instance(uuid(1))
    assert await store.position() == 1


async def test_what_was_undone_or_refused_is_no_change(store: Store) -> None:
    await fill(store, host(), guest(1))

    async def fails(tx: Transaction) -> None:
        await tx.remove_instance(uuid(1))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await run(store, fails)
    with pytest.raises(Stale):
        await fill(store, guest(2, on="nowhere"))
    assert await since(store, 1) == []
    assert await store.position() == 1, "no revision is left out"


async def test_a_password_is_no_change(store: Store) -> None:
    await fill(store, host(), guest(1))
    await store.set_password(uuid(1), b"secret")
    await store.clear_password(uuid(1))
    assert await store.position() == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_leave_nothing_out_and_tell_nothing_twice(store: Store, limit: int) -> None:
    await fill(store, host(), *map(guest, range(5)))
    for number in range(5, 15):
        await fill(store, guest(number))
    await remove(store, uuid(3), uuid(6), uuid(7), uuid(8))
    for number in (9, 1, 9, 2):
        await change(store, number)
    await fill(store, guest(7))
    every = await since(store, 0, limit)
    assert every == sorted(set(every))
    assert every == (await store.changes(0)).changes
    present = {change.key for change in every if not change.deleted}
    assert present == {"h1", *(uuid(n) for n in range(15) if n not in (3, 6, 8))}


async def test_who_was_away_for_too_long_is_told_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT_REVISIONS", 10)
    monkeypatch.setattr(feed, "PRUNE_EVERY", 5)
    await fill(store, host(), guest(1), guest(2))
    await remove(store, uuid(1))
    while await store.position() < 14:
        await run(store, count_up)
    assert ("instance", uuid(1), None) in told(await since(store, 1)), "it is not yet forgotten"
    await run(store, count_up)
    for long_ago in (0, 4):
        assert await store.changes(long_ago) == (15, (), True)
    assert told(await since(store, 5)) == [put("h1")]
    await remove(store, uuid(2))
    assert told(await since(store, 5)) == [put("h1"), ("instance", uuid(2), None)]


@pytest.mark.parametrize("position", [-1, 2, 10**9])
async def test_a_position_that_the_store_never_had_is_told_so(store: Store, position: int) -> None:
    await fill(store, host())
    assert await store.changes(position) == (1, (), True)


async def test_a_store_that_is_opened_again_goes_on_where_it_was(open_store: Open) -> None:
    first = await open_store()
    await fill(first, host(), guest(1))
    await remove(first, uuid(1))
    await first.close()
    again = await open_store()
    assert told(await since(again, 1)) == [("instance", uuid(1), None)]


async def test_who_writes_hurries_those_who_follow_and_nobody_else(open_store: Open) -> None:
    store = await open_store()
    rung: list[str] = []
    async with store.hurried(lambda: rung.append("first")):
        async with store.hurried(lambda: rung.append("second")):
            await fill(store, host())
            assert set(rung) == {"first", "second"}  # the database may say it once more
        before = await quiet(rung)
        with pytest.raises(Stale):
            await fill(store, guest(1, on="nowhere"))
        await run(store, lambda tx: tx.get_host("h1"))
        assert await quiet(rung) == before, "nothing was written"
    await fill(store, guest(1))
    assert await quiet(rung) == before


async def quiet(rung: list[str]) -> int:
    """How often it has rung, once it does no more."""
    count = -1
    while count < len(rung):
        count = len(rung)
        await asyncio.sleep(0.3)
    return count


# ---- while others write ----


class World:
    """What a follower makes of the changes that it is told."""

    def __init__(self) -> None:
        self.generations: dict[str, int] = {}
        self.seen: list[Change] = []
        self.position = 0

    def learn(self, changes: Iterable[Change], position: int) -> None:
        for change in changes:
            assert self.position < change.revision <= position
            self.seen.append(change)
            if change.generation is None:
                self.generations.pop(change.key, None)
            else:
                self.generations[change.key] = change.generation
        self.position = position


async def follow(store: Store, world: World, ends: Callable[[], bool], rng: random.Random) -> None:
    while True:
        over = ends()
        page = await store.changes(world.position, rng.choice([1, 3, 50]))
        world.learn(page.changes, page.position)
        if over and page.position == await store.position():
            return
        await asyncio.sleep(0)


async def live(store: Store, number: int, rng: random.Random) -> None:
    """One guest comes, changes and goes, again and again, in the way of others on its host."""

    async def step(tx: Transaction) -> None:
        stored = await tx.get_instance(uuid(number))
        await count_up(tx)
        if stored is None:
            await tx.add_instance(guest(number))
        elif rng.random() < 0.4:
            await tx.remove_instance(stored.uuid)
        else:
            await tx.update_instance(changed(stored))

    for _ in range(12):
        await run(store, step)


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_follows_while_many_write_knows_in_the_end_what_there_is(
    open_store: Open, seed: int
) -> None:
    writers = [await open_store() for _ in range(3)]
    store = await open_store()
    await fill(store, host())
    rng = random.Random(seed)
    worlds = [World() for _ in range(2)]
    lives = [
        asyncio.create_task(live(writer, n, random.Random(seed * 10 + n)))
        for n, writer in enumerate(writers)
    ]
    all_over: Awaitable[object] = asyncio.gather(*lives)
    ends = lambda: all(task.done() for task in lives)  # noqa: E731
    await asyncio.gather(all_over, *(follow(store, world, ends, rng) for world in worlds))
    async with store.snapshot() as snapshot:
        there = {one.uuid: one.generation for one in await snapshot.list_instances()}
    for world in worlds:
        assert world.seen == sorted(set(world.seen)), "in order, and each change once"
        world.generations.pop("h1")
        assert world.generations == there
