"""Another process at the same store: ``python -m tests.stores.worker URL JOB``.

A line on its output says what is done; the test reads it, or kills the process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from mdsvc.store import Transaction
from mdsvc.store.sql import SqlStore, open_sql

from .values import changed, count_up, run, uuid


async def change_both(tx: Transaction) -> int:
    """One more on the host, and the guest's next generation."""
    await count_up(tx)
    stored = await tx.get_instance(uuid(1))
    assert stored
    await tx.update_instance(changed(stored))
    return stored.generation + 1


async def count(store: SqlStore) -> None:
    for _ in range(50):
        await run(store, count_up)


async def change(store: SqlStore) -> None:
    while True:
        print(await run(store, change_both), flush=True)


async def hang(store: SqlStore) -> None:
    async with store.transaction() as tx:
        print(await change_both(tx), flush=True)
        await asyncio.sleep(600)


async def password(store: SqlStore) -> None:
    print(await store.set_password(uuid(1), b"secret"))


JOBS: dict[str, Callable[[SqlStore], Awaitable[None]]] = {
    "open": SqlStore.ready,
    "count": count,
    "change": change,
    "hang": hang,
    "password": password,
}


async def main(url: str, job: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()  # so that several begin at the same moment
    store = await open_sql(url)
    await JOBS[job](store)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
