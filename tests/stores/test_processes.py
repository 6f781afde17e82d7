"""Several processes at one SQLite file, some of which are killed in the middle of their work."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path

import pytest

from mdsvc.store.sql import open_sql

from .values import fill, floating, guest, host, run, uuid
from .worker import change_both

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Worker:
    """A process of ``worker.py`` and its pipes."""

    process: Process
    stdin: StreamWriter
    stdout: StreamReader

    @classmethod
    async def start(cls, url: str, job: str) -> Worker:
        command = [sys.executable, "-m", "tests.stores.worker", url, job]
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
        assert process.stdin
        assert process.stdout
        return cls(process, process.stdin, process.stdout)

    async def line(self) -> str:
        return (await self.stdout.readline()).decode().strip()

    async def kill(self) -> list[str]:
        """The lines that it had printed and nobody had read."""
        self.process.kill()
        lines = (await self.stdout.read()).decode().splitlines()
        await self.process.wait()
        return lines


async def start(url: str, *jobs: str) -> list[Worker]:
    """Workers that are all ready, and then begin at the same moment."""
    workers = [await Worker.start(url, job) for job in jobs]
    for worker in workers:
        assert await worker.line() == "ready"
    for worker in workers:
        worker.stdin.close()
    return workers


async def together(url: str, *jobs: str) -> list[str]:
    """What workers have printed that all ended well."""
    workers = await start(url, *jobs)
    printed = [(await worker.stdout.read()).decode().strip() for worker in workers]
    assert [await worker.process.wait() for worker in workers] == [0] * len(jobs)
    return printed


async def check(url: str) -> int:
    """How often guest and host have changed, the same of both. The file is whole."""
    file = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert file.execute("PRAGMA foreign_key_check").fetchall() == []
    file.close()
    store = await open_sql(url)
    stored = await store.get_instance(uuid(1))
    assert stored
    assert await floating(store) == stored.generation - 1
    await store.close()
    return stored.generation


@pytest.fixture
async def filled(url: str) -> str:
    store = await open_sql(url)
    await fill(store, host(), guest(1))
    await store.close()
    return url


async def test_a_new_store_can_be_opened_by_many_processes_at_once(any_url: str) -> None:
    await together(any_url, *["open"] * 8)
    store = await open_sql(any_url)
    await fill(store, host())
    await store.close()


async def test_no_update_is_lost_between_processes(filled: str) -> None:
    await together(filled, "count", "count", "count")
    store = await open_sql(filled)
    assert await floating(store) == 150
    await store.close()


async def test_of_two_processes_one_stores_the_password(filled: str) -> None:
    assert sorted(await together(filled, "password", "password")) == ["False", "True"]


async def test_a_process_killed_within_a_transaction_has_changed_nothing(filled: str) -> None:
    [worker] = await start(filled, "hang")
    assert await worker.line() == "2"
    await worker.kill()
    assert await check(filled) == 1
    store = await open_sql(filled)
    async with asyncio.timeout(30):
        assert await run(store, change_both) == 2, "the lock went with the process"
    await store.close()


async def test_a_process_killed_at_any_moment_leaves_what_it_has_committed(filled: str) -> None:
    rng = random.Random(20)
    for _ in range(6):
        [worker] = await start(filled, "change")
        told = [await worker.line() for _ in range(rng.randrange(1, 10))]
        await asyncio.sleep(rng.random() / 50)
        told += await worker.kill()
        committed = int(told[-1])
        assert await check(filled) in (committed, committed + 1)
