"""Guests' lives by processes that are killed, or by several at once: what must be so afterwards."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import add_host, get_host, list_hosts
from mdsvc.store.sql import open_sql
from tests.books.truth import Books, untruths
from tests.books.world import random_host
from tests.crash.lives import HOSTS, Line, read, start

PATIENCE = 120.0
LONGEST = 0.012
"""Seconds from the moment when an operation is seen to have begun until the kill, at most."""

SEED = 11


def fill(url: str) -> None:
    """A new store with three hosts."""

    async def run() -> None:
        store = await open_sql(url)
        random = Random(SEED)
        for name in HOSTS:
            await add_host(store, random_host(random, name))
        await store.close()

    asyncio.run(run())


def books(url: str) -> Books:
    """What is stored, as somebody sees it who opens the store now. Of it nothing is untrue.

    Something is written first. So what a killed process had sent to a server to be committed is
    there, or never will be.
    """

    async def look() -> Books:
        store = await open_sql(url)
        try:
            for draining in (True, False):
                await drain_host(store, HOSTS[0], draining)
            hosts = await list_hosts(store)
            return {host.name: await get_host(store, host.name) for host in hosts}
        finally:
            await store.close()

    now = asyncio.run(look())
    assert untruths(now) == []
    return now


def generations(now: Books) -> dict[str, int]:
    return {guest.uuid: guest.generation for _, guests in now.values() for guest in guests}


# ---- killed ----


def kill_in_the_midst(
    url: str, folder: Path, operation: str, kills: int, then: Callable[[], None] = lambda: None
) -> None:
    """Kill a process in the midst of such an operation, and look; so many times, on one store."""
    random, before = Random(SEED), generations(books(url))
    for kill in range(kills):
        log = folder / f"{operation}-{kill}.log"
        process = start(url, log, kill + 1, operation)
        _wait_for(log, operation, process)
        time.sleep(random.uniform(0, LONGEST))
        process.kill()
        process.join()
        now = books(url)
        _check_acknowledged(before, read(log), now)
        then()
        before = generations(now)


def _wait_for(log: Path, operation: str, process: BaseProcess) -> None:
    """Until such an operation has begun that has not been done."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        lines = read(log)
        if lines and lines[-1].begun == operation:
            return
        assert process.is_alive(), "it ends when it is killed"
        time.sleep(0.0005)
    pytest.fail(f"no {operation} has begun in {PATIENCE:g} s")


def _check_acknowledged(before: Mapping[str, int], lines: Sequence[Line], now: Books) -> None:
    """All that it was told is so, and of what it was not told at most the last operation."""
    stored, in_flight = generations(now), lines[-1] if lines and lines[-1].begun else Line()
    told = dict(before)
    for line in lines:
        told |= line.generations
    for uuid, generation in told.items():
        if generation == 0:
            assert uuid not in stored
        elif uuid not in stored:
            assert (in_flight.begun, in_flight.uuid) == ("delete", uuid)
        elif in_flight.begun == "drain":
            assert stored[uuid] in (generation, generation + 1)
        else:
            assert stored[uuid] == generation or in_flight.uuid == uuid
    new = stored.keys() - told.keys()
    assert len(new) <= (in_flight.begun == "create")


# ---- at once ----


def live_together(url: str, folder: Path, processes: int = 4, most: int = 25) -> None:
    """Each change of a guest has told one process its generation, and each of them only one."""
    logs = [folder / f"{seed}.log" for seed in range(1, processes + 1)]
    lives = [start(url, log, seed, most=most) for seed, log in enumerate(logs, 1)]
    for life in lives:
        life.join()
        assert life.exitcode == 0
    stored = generations(books(url))
    told = Counter(item for log in logs for line in read(log) for item in line.generations.items())
    assert told.most_common(1)[0][1] == 1
    assert {uuid for uuid, generation in told if generation == 0}.isdisjoint(stored)
    for uuid, generation in stored.items():
        assert {(uuid, at) for at in range(1, generation + 1)} <= told.keys()
        assert (uuid, generation + 1) not in told
