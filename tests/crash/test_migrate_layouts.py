"""`mdsvc db migrate-layouts` is killed at any moment, again and again: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from mdsvc.control.instances import list_instances
from mdsvc.store.sql import SqlStore, open_sql
from tests.cli.command import MDSVC, environment
from tests.stores.old_forms import fill_with_old, old_guests
from tests.stores.test_rewriting import check, forms

T = TypeVar("T")

GUESTS = 400
KILLS = int(os.environ.get("MDSVC_KILLS", "6"))


def test_killed_at_any_moment_it_goes_on_and_in_the_end_all_are_rewritten(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    url = f"sqlite:///{file}"
    asyncio.run(use(url, SqlStore.ready))
    guests = old_guests(GUESTS, seed=2)
    fill_with_old(file, guests)
    rng, halves, before = random.Random(3), 0, 0
    command = [str(MDSVC), "db", "migrate-layouts", "--store", url, "--batch", "1"]
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _wait_until_it_writes(file, process, before)
        time.sleep(rng.random() / 20)
        process.kill()
        process.communicate()
        done = rewritten(file)
        assert done >= before, "what was rewritten stays so"
        halves += before < done < GUESTS
        before = done
        assert len(asyncio.run(use(url, list_instances))) == GUESTS
        if done == GUESTS:
            break
    assert halves, "it was killed in the middle of its work"
    last = subprocess.run([*command[:-1], "500"], env=environment(), check=True)
    assert last.returncode == 0
    assert forms(file) == [2] * GUESTS
    asyncio.run(use(url, lambda store: check(store, guests)))


async def use(url: str, use_case: Callable[[SqlStore], Awaitable[T]]) -> T:
    store = await open_sql(url)
    try:
        return await use_case(store)
    finally:
        await store.close()


def rewritten(file: Path) -> int:
    """How many are of form 2, by the byte that says it."""
    database = sqlite3.connect(file)
    [[number]] = database.execute(
        "SELECT count(*) FROM instances WHERE substr(record, 7, 1) = x'02'"
    )
    database.close()
    return int(number)


def _wait_until_it_writes(file: Path, process: subprocess.Popen[bytes], before: int) -> None:
    """Until it has rewritten one record, or has ended."""
    while process.poll() is None and rewritten(file) == before:
        time.sleep(0.005)
