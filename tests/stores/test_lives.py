"""The whole life of guests on the servers of other databases: as in memory, and through kills.

MDSVC_KILLS=N kills N times in the midst of each operation, for the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdsvc.store.memory import MemoryStore
from mdsvc.store.sql import open_sql
from tests.books.test_books import run
from tests.crash.killing import fill, kill_in_the_midst, live_together
from tests.crash.lives import OPERATIONS

from .conftest import SERVERS, new_url

KILLS = int(os.environ.get("MDSVC_KILLS", "4"))


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> str:
    """An empty database."""
    return new_url(request, request.param)


@pytest.mark.parametrize("seed", [1])
async def test_a_sequence_has_the_same_outcomes_as_in_memory(seed: int, server_url: str) -> None:
    store = await open_sql(server_url)
    try:
        assert await run(store, seed) == await run(MemoryStore(), seed)
    finally:
        await store.close()


def test_a_kill_in_the_midst_of_anything_leaves_it_done_or_not(
    server_url: str, tmp_path: Path
) -> None:
    fill(server_url)
    for operation in OPERATIONS:
        kill_in_the_midst(server_url, tmp_path, operation, KILLS)


def test_of_lives_at_the_same_time_no_change_is_lost(server_url: str, tmp_path: Path) -> None:
    fill(server_url)
    live_together(server_url, tmp_path)
