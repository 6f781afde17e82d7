"""What every store does with the locks of guests' user data, and what opens them."""

from __future__ import annotations

import asyncio

import pytest

from mdsvc.control import user_data
from mdsvc.control.instances import change_instance, create_instance, delete_instance
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import rebuild_instance, resize_instance
from mdsvc.errors import Closed, NotFound, Unavailable
from mdsvc.instance import Instance
from mdsvc.locking import OPENED, Lock
from mdsvc.policy.flavor import Flavor
from mdsvc.store import Stale, Store

from .conftest import Open
from .values import changed, fill, guest, host, uuid

LOCKS = {"open until": Lock(1), "closed at once": Lock(None, 2), "both": Lock(1, 2)}


async def _closed(store: Store, number: int = 1) -> bool:
    return (await user_data.get_lock(store, uuid(number))).closed


async def test_a_guest_that_has_read_nothing_has_no_lock(store: Store) -> None:
    await fill(store, host(), guest(1))
    assert await store.user_data_lock(uuid(1)) is None


@pytest.mark.parametrize("lock", [OPENED, *LOCKS.values()], ids=["opened", *LOCKS])
async def test_a_lock_is_kept_in_the_store(open_store: Open, lock: Lock) -> None:
    store = await open_store()
    await fill(store, host(), guest(1), guest(2))
    await store.set_user_data_lock(uuid(1), None, lock)
    again = await open_store()
    assert await again.user_data_lock(uuid(1)) == lock
    assert await again.user_data_lock(uuid(2)) is None


@pytest.mark.parametrize("there", [None, OPENED, *LOCKS.values()], ids=str)
async def test_a_lock_replaces_the_one_that_was_read_and_no_other(
    store: Store, there: Lock | None
) -> None:
    await fill(store, host(), guest(1))
    if there:
        await store.set_user_data_lock(uuid(1), None, there)
    for before in (None, OPENED, *LOCKS.values()):
        if before != there:
            with pytest.raises(Stale):
                await store.set_user_data_lock(uuid(1), before, Lock(7, 7))
    assert await store.user_data_lock(uuid(1)) == there
    await store.set_user_data_lock(uuid(1), there, Lock(7, 7))
    assert await store.user_data_lock(uuid(1)) == Lock(7, 7)


async def test_only_known_guests_have_locks(store: Store) -> None:
    with pytest.raises(NotFound, match=f"instance {uuid(1)}: no such instance is stored"):
        await store.set_user_data_lock(uuid(1), None, OPENED)
    with pytest.raises(NotFound):
        await user_data.read(store, uuid(1), 600)
    for use_case in (user_data.get_lock, user_data.lock, user_data.unlock):
        with pytest.raises(NotFound, match=uuid(1)):
            await use_case(store, uuid(1))
    assert await store.user_data_lock(uuid(1)) is None


async def test_a_lock_is_no_change_of_the_guest(store: Store) -> None:
    await fill(store, host(), guest(1))
    before = await store.position()
    await user_data.read(store, uuid(1), 600)
    await user_data.lock(store, uuid(1))
    assert await store.position() == before
    assert await store.get_instance(uuid(1)) == guest(1)


async def test_a_removed_guest_takes_its_lock_along(store: Store) -> None:
    await fill(store, host(), guest(1))
    await user_data.lock(store, uuid(1))
    async with store.transaction() as tx:
        assert await tx.remove_instance(uuid(1))
    await fill(store, guest(1))
    assert await store.user_data_lock(uuid(1)) is None


async def test_user_data_are_opened_anew_with_the_change_of_their_guest_alone(
    store: Store,
) -> None:
    await fill(store, host(), guest(1), guest(2), guest(3))
    for number in (1, 2):
        await user_data.lock(store, uuid(number))
    async with store.transaction() as tx:
        for number in (1, 3):
            stored = await tx.get_instance(uuid(number))
            assert stored
            await tx.forget_told(uuid(number))
            await tx.update_instance(changed(stored, user_data="new"))
    assert [await store.user_data_lock(uuid(number)) for number in (1, 3)] == [OPENED, OPENED]
    assert await _closed(store, 2)


async def test_a_change_that_fails_opens_nothing(store: Store) -> None:
    await fill(store, host(), guest(1))
    await user_data.lock(store, uuid(1))

    async def overtaken() -> None:
        async with store.transaction() as tx:
            stored = await tx.get_instance(uuid(1))
            assert stored
            await tx.forget_told(uuid(1))
            await tx.update_instance(changed(stored, user_data="new"))
            async with store.transaction() as another:
                theirs = await another.get_instance(uuid(1))
                assert theirs
                await another.update_instance(changed(theirs, name="theirs"))

    with pytest.raises(Stale):
        await overtaken()
    assert await _closed(store)


async def test_of_all_who_read_at_once_one_sets_the_time_for_all(open_store: Open) -> None:
    first, second = await open_store(), await open_store()
    await fill(first, host(), guest(1))
    readers = [user_data.read(store, uuid(1), 600) for store in (first, second) for _ in range(4)]
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    lost = [outcome for outcome in outcomes if outcome is not None]
    assert not [error for error in lost if not isinstance(error, Unavailable)], "never let through"
    assert len(lost) < len(outcomes)
    lock = await second.user_data_lock(uuid(1))
    assert lock
    assert lock.closed_at is None
    await user_data.read(second, uuid(1), 1)
    assert await first.user_data_lock(uuid(1)) == lock


async def test_what_one_server_closes_another_one_refuses(open_store: Open) -> None:
    first, second = await open_store(), await open_store()
    await fill(first, host(), guest(1))
    await user_data.read(first, uuid(1), 600)
    await user_data.close_after_report(second, uuid(1))
    for store in (first, second, await open_store()):
        with pytest.raises(Closed):
            await user_data.read(store, uuid(1), 600)


async def test_only_a_new_life_opens_them(store: Store) -> None:
    instance = Instance(
        uuid=uuid(1), project_id="p", name="g", flavor=Flavor(vcpus=1, memory_mb=64)
    )
    await fill(store, host(), host("h2"))
    await create_instance(store, instance, "h1")
    await user_data.lock(store, uuid(1))
    flavor = Flavor(vcpus=2, memory_mb=64)
    await resize_instance(store, uuid(1), flavor)
    await migrate_instance(store, uuid(1), "h2")
    described = Instance(
        uuid=uuid(1), project_id="p", name="other", flavor=flavor, user_data="other"
    )
    await change_instance(store, described)
    assert await _closed(store)
    await rebuild_instance(store, uuid(1))
    assert not await _closed(store)
    await user_data.lock(store, uuid(1))
    await delete_instance(store, uuid(1))
    await create_instance(store, instance, None)
    assert not await _closed(store)
