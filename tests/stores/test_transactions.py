"""What every store does: a transaction happens as a whole, on what is there, or not at all."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from mdsvc.store import Stale, Store, Transaction

from .values import changed, count_up, fill, floating, guest, host, run, uuid


class Interrupted(Exception):
    """Raised by a test in the middle of a transaction."""


async def test_a_transaction_reads_what_it_has_written(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_host(host())
        await tx.add_instance(guest(1, ("net-a", "10.0.0.5")))
        await count_up(tx)
        await count_up(tx)
        found = await tx.get_host("h1")
        assert found
        assert found.floating_vcpus == 2
        assert await tx.owner("10.0.0.5", "net-a") == uuid(1)
        await tx.remove_instance(uuid(1))
        assert await tx.owner("10.0.0.5", "net-a") is None
        assert await tx.list_instances() == []
    assert await floating(store) == 2


async def _change_everything(tx: Transaction) -> None:
    await count_up(tx)
    await tx.add_host(host("h2"))
    await tx.update_instance(changed(guest(1), host="h2", addresses=()))
    await tx.add_instance(guest(2, ("net-a", "10.0.0.5"), on="h2"))
    await tx.remove_instance(uuid(3))


@pytest.mark.parametrize("error", [Interrupted, asyncio.CancelledError, KeyboardInterrupt])
async def test_a_transaction_that_raises_changes_nothing(
    store: Store, error: type[BaseException]
) -> None:
    async def use_case(tx: Transaction) -> None:
        await _change_everything(tx)
        raise error

    first, third = guest(1, ("net-a", "10.0.0.5")), guest(3, ("net-b", "10.0.0.5"))
    await fill(store, host(), first, third)
    with pytest.raises(error):
        await run(store, use_case)
    async with store.transaction() as tx:
        assert await tx.list_hosts() == [host()]
        assert await tx.list_instances() == [first, third]
    assert await store.find("10.0.0.5", None) == [first.uuid, third.uuid]


async def test_guest_and_hosts_change_together(store: Store) -> None:
    await fill(store, host(), guest(1, ("net-a", "10.0.0.5")), guest(3))
    async with store.transaction() as tx:
        await _change_everything(tx)
        assert await store.find("10.0.0.5", None) == [uuid(1)], "not before the end"
        assert await store.get_instance(uuid(3))
    assert await floating(store) == 1
    assert await store.find("10.0.0.5", None) == [uuid(2)]
    assert await store.get_instance(uuid(3)) is None
    async with store.transaction() as tx:
        assert [found.uuid for found in await tx.list_instances("h2")] == [uuid(1), uuid(2)]


async def test_a_guest_that_is_not_the_next_generation_is_stale(store: Store) -> None:
    await fill(store, host(), guest(1))
    async with store.transaction() as tx:
        for generation in (1, 3):
            with pytest.raises(Stale):
                await tx.update_instance(replace(guest(1), generation=generation))
        with pytest.raises(Stale):
            await tx.update_instance(changed(guest(2)))
    assert await store.get_instance(uuid(1)) == guest(1)
    assert await store.get_instance(uuid(2)) is None


async def test_a_host_that_is_gone_is_stale(store: Store) -> None:
    await fill(store, host())
    async with store.transaction() as tx:
        found = await tx.get_host("h1")
        assert found
        await tx.remove_host("h1")
        with pytest.raises(Stale):
            await tx.update_host(found)


async def test_a_host_is_read_before_it_is_changed(store: Store) -> None:
    await fill(store, host())
    async with store.transaction() as tx:
        with pytest.raises(AssertionError):
            await tx.update_host(host())
