"""The store in memory: transactions that overlap."""

from __future__ import annotations

import pytest

from mdsvc.store import Stale
from mdsvc.store.memory import MemoryStore

from .values import count_up, fill, floating, guest, host, run, uuid


async def test_the_later_commit_of_what_another_one_wrote_is_stale() -> None:
    store = MemoryStore()
    await fill(store, host(), host("h2"))

    async def overtaken() -> None:
        async with store.transaction() as slow:
            await count_up(slow)
            await run(store, count_up)

    with pytest.raises(Stale, match="has written hosts: h1"):
        await overtaken()
    async with store.transaction() as slow:
        await slow.remove_host("h2")
        await run(store, count_up)
    assert await floating(store) == 2, "of different hosts both are kept"


async def test_a_guest_whose_host_was_removed_meanwhile_is_stale() -> None:
    store = MemoryStore()
    await fill(store, host())

    async def overtaken() -> None:
        async with store.transaction() as slow:
            await slow.add_instance(guest(1))
            await run(store, lambda tx: tx.remove_host("h1"))

    with pytest.raises(Stale, match="host is gone"):
        await overtaken()
    assert await store.get_instance(uuid(1)) is None
