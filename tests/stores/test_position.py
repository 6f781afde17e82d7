"""A store's position is the last commit's, whoever made it, however often it is asked for."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from mdsvc.errors import MdsvcError
from mdsvc.store.sql import open_sql
from tests.promptly import within

from .conftest import Open
from .values import fill, host


async def test_a_commit_of_anybodys_is_seen_by_the_next_question(open_store: Open) -> None:
    """Of this store, of another one on the same database, and none at all, in any sequence."""
    first, second = await open_store(), await open_store()
    random_step, number = random.Random(3), 0
    for _ in range(60):
        writer = random_step.choice((first, second, None))
        if writer:
            await fill(writer, host(f"h{number}"))
            number += 1
        for store in random_step.sample((first, second), 2):
            assert await store.position() == number


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_a_question_does_not_wait_on_the_event_loop(file: Path) -> None:
    """Where somebody has the whole file, it is refused later, by a query in a thread."""
    store = await open_sql(f"sqlite:///{file}")
    try:
        assert await store.position() == 0
        with sqlite3.connect(file, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert await store.position() == 0, "readers do not wait for a writer"
            other.execute("ROLLBACK")
        with within(60):
            for _ in range(100):
                assert await store.position() == 0
    finally:
        await store.close()


async def test_a_file_that_is_none_any_more_is_told_of(file: Path) -> None:
    store = await open_sql(f"sqlite:///{file}")
    try:
        assert await store.position() == 0
        with sqlite3.connect(file, isolation_level=None) as other:
            other.execute("DROP TABLE meta")
        with pytest.raises(MdsvcError):
            await store.position()
    finally:
        await store.close()
