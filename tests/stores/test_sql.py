"""The store in a SQL database: opening it, locks, and what the database may say."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import update

from mdsvc.errors import BadInput, MdsvcError
from mdsvc.store import Stale
from mdsvc.store.sql import open_sql, sqlite, tables
from mdsvc.store.sql.engines import Engines

from .values import count_up, fill, floating, guest, host, run, uuid


async def test_a_new_store_can_be_opened_by_many_at_once(url: str) -> None:
    stores = await asyncio.gather(*(open_sql(url) for _ in range(8)))
    await fill(stores[0], host())
    for store in stores:
        assert await floating(store) == 0
        await store.close()


async def test_a_generation_that_moved_on_is_stale(url: str) -> None:
    """SQLite lets nobody write in between; another database may."""
    store = await open_sql(url)
    await fill(store, host())
    async with store.transaction() as tx:
        found = await tx.get_host("h1")
        assert found
        await tx._connection.execute(update(tables.HOSTS).values(generation=7))
        with pytest.raises(Stale, match="host h1 has changed"):
            await tx.update_host(found)
    await store.close()


async def test_a_lock_that_is_never_released_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    store = await open_sql(f"sqlite:///{tmp_path}/store.db")
    await fill(store, host(), guest(1))
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Stale, match="locked"):
        async with store.transaction():
            pytest.fail("the lock was taken")
    with pytest.raises(Stale, match="locked"):
        await store.set_password(uuid(1), b"secret")
    assert await store.get_instance(uuid(1)) == guest(1)
    holder.close()
    await run(store, count_up)
    await store.close()


async def test_opening_waits_for_who_makes_the_file(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def prepare(engines: Engines) -> None:
        tries.append(engines)
        if len(tries) < 3:
            raise Stale
        await real(engines)

    real = tables.prepare
    monkeypatch.setattr(tables, "prepare", prepare)
    store = await open_sql(url)
    assert len(tries) == 3
    await store.ready()
    await store.close()


async def test_opening_a_file_that_stays_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BadInput, match=r"--store sqlite:.*store\.db: .*database is locked"):
        await open_sql(f"sqlite:///{tmp_path}/store.db")
    holder.close()


async def test_readers_cannot_write(url: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    async with store._engines.reads.connect() as connection:
        with pytest.raises(Exception, match="readonly"):
            await connection.execute(update(tables.HOSTS).values(generation=7))
    await store.close()


async def test_an_unencodable_name_is_bad_input(url: str) -> None:
    store = await open_sql(url)
    with pytest.raises(BadInput, match="expected text in UTF-8"):
        await store.get_instance("\udcff")
    await store.close()


async def test_a_store_that_breaks_is_not_ready(tmp_path: Path) -> None:
    store = await open_sql(f"sqlite:///{tmp_path}/x.db")
    await store.ready()
    file = sqlite3.connect(tmp_path / "x.db")
    file.execute("DROP TABLE meta")
    file.close()
    with pytest.raises(MdsvcError, match="no such table: meta"):
        await store.ready()
    await store.close()
