"""Several writers in one process: no update is lost, and one that is cancelled leaves nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from mdsvc.errors import BadInput
from mdsvc.store import Stale, Store, schema
from mdsvc.store.memory import MemoryStore
from mdsvc.store.sql import open_sql

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
    stored = await stores[0].instance(uuid(1))
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
        async with asyncio.timeout(5):
            seen = await asyncio.gather(*(s.instance(uuid(1)) for s in (store, other) * 10))
    assert seen == [guest(1)] * 20
    assert await other.instance(uuid(1)) == changed(guest(1), name="new")


async def test_a_transaction_that_is_cancelled_anywhere_happens_as_a_whole_or_not_at_all(
    open_store: Open,
) -> None:
    store = await open_store()
    await fill(store, host(), guest(1))

    async def both() -> None:
        async with store.transaction() as tx:
            await count_up(tx)
            stored = await tx.instance(uuid(1))
            assert stored
            await tx.update_instance(changed(stored))

    for step in range(60):
        task = asyncio.create_task(both())
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await both()
    stored = await store.instance(uuid(1))
    assert stored
    assert await floating(store) == stored.generation - 1 >= 1


async def test_memory_the_later_commit_of_what_another_one_wrote_is_stale() -> None:
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


async def test_memory_a_guest_whose_host_was_removed_meanwhile_is_stale() -> None:
    store = MemoryStore()
    await fill(store, host())

    async def overtaken() -> None:
        async with store.transaction() as slow:
            await slow.add_instance(guest(1))
            await run(store, lambda tx: tx.remove_host("h1"))

    with pytest.raises(Stale, match="host is gone"):
        await overtaken()
    assert await store.instance(uuid(1)) is None


async def test_sql_a_new_store_can_be_opened_by_many_at_once(url: str) -> None:
    stores = await asyncio.gather(*(open_sql(url) for _ in range(8)))
    await fill(stores[0], host())
    for store in stores:
        assert await floating(store) == 0
        await store.close()


async def test_sql_a_generation_that_moved_on_is_stale(url: str) -> None:
    """SQLite lets nobody write in between; another database may."""
    store = await open_sql(url)
    await fill(store, host())
    async with store.transaction() as tx:
        found = await tx.host("h1")
        assert found
        await tx._connection.execute(update(schema.HOSTS).values(generation=7))
        with pytest.raises(Stale, match="host h1 has changed"):
            await tx.update_host(found)
    await store.close()


async def test_sqlite_a_lock_that_is_never_released_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    store = await open_sql(f"sqlite:///{tmp_path}/store.db")
    await fill(store, host(), guest(1))
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Stale, match="locked"):
        async with store.transaction():
            pytest.fail("the lock was taken")
    with pytest.raises(Stale, match="locked"):
        await store.set_password(uuid(1), b"secret")
    assert await store.instance(uuid(1)) == guest(1)
    holder.close()
    await run(store, count_up)
    await store.close()


async def test_sqlite_opening_waits_for_who_makes_the_file(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def prepare(engines: schema.Engines) -> None:
        tries.append(engines)
        if len(tries) < 3:
            raise Stale
        await real(engines)

    real = schema.prepare
    monkeypatch.setattr(schema, "prepare", prepare)
    store = await open_sql(url)
    assert len(tries) == 3
    await store.ready()
    await store.close()


async def test_sqlite_opening_a_file_that_stays_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BadInput, match=r"--store sqlite:.*store\.db: .*database is locked"):
        await open_sql(f"sqlite:///{tmp_path}/store.db")
    holder.close()


async def test_sqlite_readers_cannot_write(url: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    async with store._engines.reads.connect() as connection:
        with pytest.raises(Exception, match="readonly"):
            await connection.execute(update(schema.HOSTS).values(generation=7))
    await store.close()
