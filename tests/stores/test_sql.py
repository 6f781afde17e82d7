"""The store in a SQL database: opening it, locks, and what the database may say."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from mdsvc.errors import BadInput, MdsvcError, Unavailable
from mdsvc.store import Stale
from mdsvc.store.sql import engines, open_sql, patience, schema, sqlite, tables
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.errors import translated

from .values import count_up, fill, floating, guest, host, run, uuid


async def test_a_new_store_can_be_opened_by_many_at_once(url: str) -> None:
    stores = await asyncio.gather(*(open_sql(url) for _ in range(8)))
    await fill(stores[0], host())
    for store in stores:
        assert await floating(store) == 0
        await store.close()


async def test_a_lock_that_is_never_released_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 <= 2 * engines.WAIT_SECONDS <= 5, "for a connection, and then for the lock"
    monkeypatch.setattr(sqlite, "WAIT_SECONDS", 0.05)
    store = await open_sql(f"sqlite:///{tmp_path}/store.db")
    await fill(store, host(), guest(1))
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="the store is busy: database is locked"):
        await fill(store, host("h2"))
    with pytest.raises(Unavailable, match="the store is busy: database is locked"):
        await store.set_password(uuid(1), b"secret")
    assert await store.get_instance(uuid(1)) == guest(1)
    holder.close()
    await run(store, count_up)
    await store.close()


async def test_a_connection_that_is_never_free_is_given_up_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WAIT_SECONDS", 0.05)
    store = await open_sql(url)
    async with AsyncExitStack() as stack:
        for _ in range(sqlite.READERS):
            await stack.enter_async_context(store.snapshot())
        with pytest.raises(Unavailable, match="the store is busy: no connection"):
            async with store.snapshot():
                pytest.fail("there was another connection")
        assert await store.get_instance(uuid(1)) is None, "guests have connections of their own"
    async with store.snapshot() as snapshot:
        assert await snapshot.list_hosts() == []
    await store.close()


@pytest.mark.parametrize("told", [Stale(), Unavailable("busy")], ids=["Stale", "Unavailable"])
async def test_opening_waits_for_who_makes_the_file(
    url: str, monkeypatch: pytest.MonkeyPatch, told: Exception
) -> None:
    """However long it is told that others are first: it may be the last of many."""
    tries = []

    async def make_all(those: Engines) -> int:
        tries.append(those)
        if len(tries) < 3:
            raise told
        return await real(those)

    real = schema.make_all
    monkeypatch.setattr(schema, "make_all", make_all)
    monkeypatch.setattr(patience, "WAIT_SECONDS", 0)
    store = await open_sql(url)
    assert len(tries) == 3
    await store.ready()
    await store.close()


async def test_opening_a_file_that_stays_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(patience, "WAIT_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match=r"--store sqlite:.*store\.db: .*database is locked"):
        await open_sql(f"sqlite:///{tmp_path}/store.db")
    holder.close()


@pytest.mark.parametrize("engine", ["reads", "snapshots"])
async def test_readers_cannot_write(url: str, engine: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    async with getattr(store._engines, engine).connect() as connection:
        with pytest.raises(Exception, match="readonly"):
            await connection.execute(update(tables.HOSTS).values(revision=7))
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


async def test_a_file_that_is_not_where_it_was_is_not_ready(tmp_path: Path) -> None:
    path, aside = tmp_path / "x.db", tmp_path / "aside.db"
    store = await open_sql(f"sqlite:///{path}")
    await fill(store, host())
    path.rename(aside)
    with pytest.raises(Unavailable, match=r"x\.db was moved, removed or replaced"):
        await store.ready()
    path.touch()
    with pytest.raises(Unavailable, match=r"x\.db was moved, removed or replaced"):
        await store.ready()
    aside.rename(path)
    await store.ready()
    await store.close()


# ---- a store that cannot be written to ----


async def test_a_store_that_cannot_be_written_to_says_so_and_is_read_on(url: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    async with store._engines.writes.connect() as connection:  # the only one that writes
        await connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="cannot be written to"):
        await store.ready()
    with pytest.raises(Unavailable, match="cannot be written to"):
        await fill(store, host("h2"))
    assert [found.name for found in await store.list_hosts(None, 10)] == ["h1"]
    await store.close()


async def test_to_be_ready_changes_nothing(url: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    before = await store.position()
    await store.ready()
    assert await store.position() == before
    await store.close()


@pytest.mark.parametrize("state", ["08003", "57P01", "57P03"])
def test_a_server_that_ends_in_the_midst_of_an_operation_is_unavailable(state: str) -> None:
    """PostgreSQL's states, where SQLAlchemy does not say that the connection is gone."""

    class Told(Exception):
        sqlstate = state

    with pytest.raises(Unavailable, match="the store does not answer: it ends"), translated():
        raise DBAPIError("SELECT 1", {}, Told("it ends"))
