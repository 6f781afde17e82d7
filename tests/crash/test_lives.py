"""Guests' lives, by processes that are killed at any moment, and by several at once.

What was acknowledged is there, the books are true, and the store opens. MDSVC_KILLS=N kills N times
in the midst of each operation, for the long form.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from mdsvc.control.hosts import add_host, get_host, list_hosts
from mdsvc.store.sql import open_sql
from tests.books.truth import Books, untruths
from tests.books.world import random_host
from tests.crash.accounts import damage
from tests.crash.lives import HOSTS, OPERATIONS, Line, read, start

KILLS = int(os.environ.get("MDSVC_KILLS", "12"))
PATIENCE = 120.0
LONGEST = 0.012
"""Seconds from the moment when an operation is seen to have begun until the kill, at most."""

SEED = 11


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(file: Path) -> str:
    """A store with three hosts."""

    async def fill() -> None:
        store = await open_sql(f"sqlite:///{file}")
        random = Random(SEED)
        for name in HOSTS:
            await add_host(store, random_host(random, name))
        await store.close()

    asyncio.run(fill())
    return f"sqlite:///{file}"


def books(url: str) -> Books:
    """What is stored, as somebody sees it who opens the store now. Of it nothing is untrue."""

    async def look() -> Books:
        store = await open_sql(url)
        try:
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


def wait_for(log: Path, operation: str) -> None:
    """Until such an operation has begun that has not been done."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        lines = read(log)
        if lines and lines[-1].begun == operation:
            return
        time.sleep(0.0005)
    pytest.fail(f"no {operation} has begun in {PATIENCE:g} s")


def check_acknowledged(before: Mapping[str, int], lines: Sequence[Line], now: Books) -> None:
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


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_in_the_midst_of_it_leaves_it_done_or_not(
    operation: str, url: str, file: Path, tmp_path: Path
) -> None:
    random, before = Random(SEED), generations(books(url))
    for kill in range(KILLS):
        log = tmp_path / f"{kill}.log"
        process = start(url, log, kill + 1, operation)
        wait_for(log, operation)
        time.sleep(random.uniform(0, LONGEST))
        process.kill()
        process.join()
        now = books(url)
        check_acknowledged(before, read(log), now)
        assert damage(file) == []
        before = generations(now)


# ---- at once ----


def test_of_lives_at_the_same_time_no_change_is_lost(url: str, tmp_path: Path) -> None:
    """Each change of a guest has told one process its generation, and each of them only one."""
    logs = [tmp_path / f"{seed}.log" for seed in range(1, 5)]
    processes = [start(url, log, seed, most=25) for seed, log in enumerate(logs, 1)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    stored = generations(books(url))
    told = Counter(item for log in logs for line in read(log) for item in line.generations.items())
    assert told.most_common(1)[0][1] == 1
    assert {uuid for uuid, generation in told if generation == 0}.isdisjoint(stored)
    for uuid, generation in stored.items():
        assert {(uuid, at) for at in range(1, generation + 1)} <= told.keys()
        assert (uuid, generation + 1) not in told
