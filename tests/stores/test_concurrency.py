"""Several writers in one process: no update is lost, and one that is cancelled leaves nothing."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from mdsvc.store import Store, Transaction

from .conftest import Open
from .values import changed, count_up, fill, floating, guest, host, run, uuid


async def test_no_update_is_lost_between_two_store_objects(open_store: Open) -> None:
    stores = [await open_store(), await open_store()]
    await fill(stores[0], host())

    async def count(store: Store) -> None:
        for _ in range(10):
            await run(store, count_up)

    await asyncio.gather(*(count(store) for store in stores for _ in range(3)))
    assert await floating(stores[0]) == 60


async def test_a_uuid_and_an_address_have_one_winner(open_store: Open) -> None:
    stores = [await open_store(), await open_store()]
    await fill(stores[0], host())

    async def add(store: Store, name: str) -> bool:
        stored = replace(guest(1, ("net-a", "10.0.0.5")), name=name)
        return await run(store, lambda tx: tx.add_instance(stored))

    won = await asyncio.gather(*(add(stores[at % 2], f"guest-{at}") for at in range(6)))
    assert sorted(won) == [False] * 5 + [True]
    stored = await stores[0].get_instance(uuid(1))
    assert stored
    assert stored.name == f"guest-{won.index(True)}"


async def test_of_two_passwords_at_the_same_time_one_is_kept(open_store: Open) -> None:
    stores = [await open_store(), await open_store()]
    await fill(stores[0], host(), *(guest(number) for number in range(10)))
    for number in range(10):
        won = await asyncio.gather(
            *(stores[at % 2].set_password(uuid(number), b"%d" % at) for at in range(4))
        )
        assert sorted(won) == [False, False, False, True]
        assert await stores[0].password(uuid(number)) == b"%d" % won.index(True)


async def test_readers_see_the_last_commit_and_do_not_wait(open_store: Open) -> None:
    store, other = await open_store(), await open_store()
    await fill(store, host(), guest(1))
    async with store.transaction() as tx:
        await tx.update_instance(changed(guest(1), name="new"))
        async with asyncio.timeout(30):
            seen = await asyncio.gather(*(s.get_instance(uuid(1)) for s in (store, other) * 10))
    assert seen == [guest(1)] * 20
    assert await other.get_instance(uuid(1)) == changed(guest(1), name="new")


async def test_a_transaction_that_is_cancelled_anywhere_happens_as_a_whole_or_not_at_all(
    open_store: Open,
) -> None:
    store = await open_store()
    await fill(store, host(), guest(1))

    async def both(tx: Transaction) -> None:
        await count_up(tx)
        stored = await tx.get_instance(uuid(1))
        assert stored
        await tx.update_instance(changed(stored))

    cancelled = []  # kept, as their tracebacks refer to cursors
    for step in range(60):
        task = asyncio.create_task(run(store, both))
        await asyncio.sleep(step / 10_000)
        for _ in range(1 + step % 2):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        cancelled.append(task)
        async with asyncio.timeout(30):
            await run(store, both)  # the cancelled one may still be committing
    stored = await store.get_instance(uuid(1))
    assert stored
    assert await floating(store) == stored.generation - 1 >= 60
