"""One follower in a process learns every change once, in order, whatever comes between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from mdsvc.errors import Unavailable
from mdsvc.store import Store, feed
from mdsvc.store.feed import Change, ChangePage
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore

from .values import changed, count_up, fill, guest, host, run, uuid

NEVER = 3600.0
"""Seconds between polls: what is learned, was hurried."""

QUICK = 0.005


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.words: list[str] = []

    def changed(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self.words.append("changed")

    def reset(self) -> None:
        self.words.append("reset")

    def cut_off(self) -> None:
        self.words.append("cut off")


class Frail(MemoryStore):
    """A store that others change without a word, and that may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = 0

    @override
    async def position(self) -> int:
        self.asked += 1
        if self.error:
            raise self.error
        return await super().position()

    @override
    async def changes(self, after: int, limit: int = feed.PAGE) -> ChangePage:
        if self.error:
            raise self.error
        return await super().changes(after, limit)

    @override
    @asynccontextmanager
    async def hurried(self, hurry: Callable[[], None]) -> AsyncIterator[None]:
        yield


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # whatever it is about
            await asyncio.sleep(0.001)


async def raise_generation(store: Store, number: int = 1) -> None:
    async with store.transaction() as tx:
        stored = await tx.get_instance(uuid(number))
        assert stored
        await tx.update_instance(changed(stored))


async def test_a_listener_is_told_of_what_changes_and_not_of_what_was_there(store: Store) -> None:
    await fill(store, host(), guest(1))
    heard = Heard()
    async with Follower(store, QUICK).running() as follower:
        follower.tell(heard)
        assert follower.position == 1
        await raise_generation(store)
        await until(lambda: follower.position == 2)
        await run(store, lambda tx: tx.remove_instance(uuid(1)))
        await until(lambda: follower.position == 3)
    assert heard.changes == [
        Change(2, "instance", uuid(1), 2),
        Change(3, "instance", uuid(1), None),
    ]
    assert "reset" not in heard.words


async def test_what_this_process_writes_is_known_at_once(store: Store) -> None:
    async with Follower(store, NEVER).running() as follower:
        await asyncio.sleep(0.05)  # it has begun to listen
        await fill(store, host())
        await until(lambda: follower.position == 1)


async def test_what_others_write_is_known_at_the_next_poll() -> None:
    store = Frail()
    async with Follower(store, QUICK).running() as follower:
        await fill(store, host())
        await until(lambda: follower.position == 1)


async def test_an_idle_store_is_asked_for_its_position_alone() -> None:
    class Idle(Frail):
        @override
        async def changes(self, after: int, limit: int = feed.PAGE) -> ChangePage:
            raise AssertionError("nothing has changed")

    store, heard = Idle(), Heard()
    async with Follower(store, QUICK).running() as follower:
        follower.tell(heard)
        await until(lambda: store.asked > 5)
        assert not follower.is_cut_off
    assert heard.words == []


@pytest.mark.parametrize("error", [Unavailable("away"), OSError("no such host"), KeyError("bug")])
async def test_who_was_cut_off_learns_all_that_it_missed_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mdsvc.store.following")
    store, heard = Frail(), Heard()
    await fill(store, host(), guest(1), guest(2))
    async with Follower(store, QUICK).running() as follower:
        follower.tell(heard)
        for _ in range(2):
            store.error = error
            await until(lambda: follower.is_cut_off)
            asked = store.asked
            await raise_generation(store, 1)
            await raise_generation(store, 2)
            await raise_generation(store, 1)
            await until(lambda asked=asked: store.asked > asked + 3)  # type: ignore[misc]
            store.error = None
            await until(lambda: not follower.is_cut_off)
    assert heard.words == ["cut off", "changed"] * 2
    assert [(change.key, change.generation) for change in heard.changes] == [
        (uuid(2), 2),
        (uuid(1), 3),
        (uuid(2), 3),
        (uuid(1), 5),
    ]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO"] * 2, "one line as it begins, and one as it ends"


async def test_a_store_that_is_away_at_the_start_is_followed_from_where_it_is_then() -> None:
    store, heard = Frail(), Heard()
    await fill(store, host())
    store.error = Unavailable("away")
    follower = Follower(store, QUICK)
    follower.tell(heard)
    async with follower.running():
        assert (follower.position, follower.is_cut_off) == (None, True)
        store.error = None
        await until(lambda: follower.position == 1)
        await fill(store, guest(1))
        await until(lambda: follower.position == 2)
    assert heard.words == ["cut off", "reset", "changed"]


async def test_who_was_away_for_too_long_is_reset_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "KEPT_REVISIONS", 5)
    monkeypatch.setattr(feed, "PRUNE_EVERY", 1)
    store, heard = Frail(), Heard()
    await fill(store, host())
    async with Follower(store, NEVER).running() as follower:
        follower.tell(heard)
        for _ in range(20):
            await run(store, count_up)
        follower.hurry()
        await until(lambda: follower.position == 21)
        await run(store, count_up)
        follower.hurry()
        await until(lambda: follower.position == 22)
    assert heard.words == ["reset", "changed"]
    assert [change.revision for change in heard.changes] == [22]


async def test_a_store_that_was_brought_back_from_a_backup_is_a_reset() -> None:
    store, heard = Frail(), Heard()
    await fill(store, host())
    backup = store._tables
    await fill(store, guest(1))
    async with Follower(store, QUICK).running() as follower:
        follower.tell(heard)
        store._tables = backup
        await until(lambda: follower.position == 1)
        await fill(store, guest(2))
        await until(lambda: follower.position == 2)
    assert heard.words == ["reset", "changed"]


async def test_a_listener_that_fails_is_in_nobodys_way(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Heard):
        @override
        def changed(self, changes: Sequence[Change]) -> None:
            raise RuntimeError("broken")

    store, heard = MemoryStore(), Heard()
    async with Follower(store, QUICK).running() as follower:
        follower.tell(Broken())
        follower.tell(heard)
        await fill(store, host())
        await until(lambda: follower.position == 1)
        await fill(store, host("h2"))
        await until(lambda: follower.position == 2)
    assert [change.key for change in heard.changes] == ["h1", "h2"]
    assert caplog.text.count("a change of the store could not be told") == 2


# ---- pages ----


async def take(pages: AsyncIterator[ChangePage], number: int) -> list[Change]:
    """That many changes, or more if the page has them."""
    changes: list[Change] = []
    async with asyncio.timeout(20):
        while len(changes) < number:
            page = await anext(pages)
            assert not page.reset
            changes += page.changes
    return changes


async def test_pages_begin_where_they_are_told_and_go_on_as_it_happens(store: Store) -> None:
    await fill(store, host())
    await fill(store, guest(1))
    async with Follower(store, QUICK).running() as follower:
        old = follower.pages(0)
        new = follower.pages()
        assert [change.key for change in await take(old, 2)] == ["h1", uuid(1)]
        waiting = asyncio.create_task(take(new, 1))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await raise_generation(store)
        expected = [Change(3, "instance", uuid(1), 2)]
        assert await waiting == await take(old, 1) == expected
        await run(store, lambda tx: tx.remove_instance(uuid(1)))
        expected = [Change(4, "instance", uuid(1), None)]
        assert await take(new, 1) == await take(old, 1) == expected


async def test_pages_of_a_position_from_long_ago_begin_with_a_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "KEPT_REVISIONS", 1)
    monkeypatch.setattr(feed, "PRUNE_EVERY", 1)
    store = MemoryStore()
    for name in "abc":
        await fill(store, host(name))
    async with Follower(store, QUICK).running() as follower:
        pages = follower.pages(0)
        assert await anext(pages) == (3, (), True)
        await fill(store, host("d"))
        assert [change.key for change in await take(pages, 1)] == ["d"]


async def test_pages_outlive_a_store_that_is_away() -> None:
    store = Frail()
    await fill(store, host())
    store.error = Unavailable("away")
    async with Follower(store, QUICK).running() as follower:
        behind = asyncio.create_task(take(follower.pages(0), 1))
        fresh = asyncio.create_task(take(follower.pages(), 1))
        await until(lambda: store.asked > 3)
        store.error = None
        assert [change.key for change in await behind] == ["h1"]
        await until(lambda: follower.position == 1)
        await asyncio.sleep(0.01)
        await fill(store, guest(1))
        assert [change.key for change in await fresh] == [uuid(1)]


async def test_who_reads_pages_slowly_gets_them_all_and_holds_nobody_up() -> None:
    store = MemoryStore()
    await fill(store, host(), *map(guest, range(5)))
    heard = Heard()
    async with Follower(store, QUICK).running() as follower:
        follower.tell(heard)
        pages = follower.pages(1)
        for number in range(5):
            await run(store, lambda tx, n=number: tx.remove_instance(uuid(n)))  # type: ignore[misc]
        await until(lambda: follower.position == 6)
        assert len(heard.changes) == 5
        assert [change.key for change in await take(pages, 5)] == [uuid(n) for n in range(5)]
