"""PostgreSQL tells followers of other processes' changes; what it does not tell, the poll finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from mdsvc.store.following import Follower
from mdsvc.store.sql import SqlStore, open_sql
from mdsvc.store.sql import postgresql as engine

from .servers.postgresql import PostgreSql
from .test_following import NEVER, until
from .values import fill, host

pytestmark = pytest.mark.servers

LISTENING = "FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"


@pytest.fixture
def database(postgresql: PostgreSql) -> str:
    return postgresql.new_database()


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[SqlStore, Follower]]:
    """A store, and a follower that never polls, on another as of another process."""
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(await open_sql(url))
            stack.push_async_callback(stores[-1].close)
        follower = await stack.enter_async_context(Follower(stores[1], NEVER).running())
        yield stores[0], follower


async def ask(store: SqlStore, what: str) -> int:
    """How many listening connections there are, or were ended."""
    async with store._engines.reads.connect() as connection:
        return int((await connection.exec_driver_sql(f"SELECT {what} {LISTENING}")).scalar_one())


async def until_it_listens(store: SqlStore) -> None:
    async with asyncio.timeout(20):
        while not await ask(store, "count(*)"):  # noqa: ASYNC110  # another process' doing
            await asyncio.sleep(0.02)


async def test_what_another_process_writes_is_told_at_once(database: str) -> None:
    async with two(database) as (store, follower):
        await until_it_listens(store)
        for number in range(1, 4):
            await fill(store, host(f"h{number}"))
            await until(lambda number=number: follower.position == number)  # type: ignore[misc]


async def test_who_lost_the_connection_listens_again_and_asks_for_what_it_missed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LISTEN_AGAIN_SECONDS", 0.2)
    async with two(database) as (store, follower):
        await until_it_listens(store)
        for number in range(1, 4):
            assert await ask(store, "count(pg_terminate_backend(pid))") == 1
            await fill(store, host(f"h{number}"))
            await until(lambda number=number: follower.position == number)  # type: ignore[misc]
            await until_it_listens(store)


async def test_who_ends_leaves_no_connection(database: str) -> None:
    async with two(database) as (store, _follower):
        await until_it_listens(store)
    store = await open_sql(database)
    async with asyncio.timeout(20):
        while await ask(store, "count(*)"):  # noqa: ASYNC110  # the server's doing
            await asyncio.sleep(0.02)
    await store.close()
