"""Every store keeps the operators' tokens: by name, once, and until they are removed."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from mdsvc.bearer import Bearer
from mdsvc.store import Store

from .conftest import Open


def bearer(name: str = "alice", read_only: bool = False) -> Bearer:
    return Bearer(name=name, digest="ab" * 32, read_only=read_only, created_at=1_700_000_000)


async def test_a_new_store_has_no_tokens(store: Store) -> None:
    assert await store.bearers() == []
    assert not await store.remove_bearer("alice")
    await store.note_bearer_used("alice", 1)
    assert await store.bearers() == []


async def test_tokens_are_kept_as_they_are_by_name(store: Store) -> None:
    every = [bearer("b"), bearer("B", read_only=True), bearer("a")]
    for each in every:
        assert await store.add_bearer(each)
    assert await store.bearers() == sorted(every, key=lambda each: each.name)


async def test_a_name_is_taken_once(store: Store) -> None:
    assert await store.add_bearer(bearer())
    assert not await store.add_bearer(replace(bearer(), digest="cd" * 32))
    assert await store.bearers() == [bearer()]


async def test_of_two_at_the_same_time_one_wins(open_store: Open) -> None:
    first, second = await open_store(), await open_store()
    added = await asyncio.gather(*(store.add_bearer(bearer()) for store in (first, second)))
    assert sorted(added) == [False, True]


async def test_others_on_the_store_know_new_and_removed_ones(open_store: Open) -> None:
    here, there = await open_store(), await open_store()
    await here.add_bearer(bearer())
    assert await there.bearers() == [bearer()]
    await there.note_bearer_used("alice", 1_800_000_000)
    assert await here.bearers() == [replace(bearer(), used_at=1_800_000_000)]
    assert await there.remove_bearer("alice")
    assert await here.bearers() == []
    assert not await here.remove_bearer("alice")
