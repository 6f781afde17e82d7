"""Every store there is, behind one fixture: the tests that ask for it run once for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from typing_extensions import override

from mdsvc.store import Store
from mdsvc.store.memory import MemoryReading, MemoryStore
from mdsvc.store.sql import open_sql

Open = Callable[[], Awaitable[Store]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path}/store.db"


class ReadCommitted(MemoryStore):
    """Isolates no more than READ COMMITTED does: each read sees what was committed last, also in
    the middle of a transaction.
    """

    @override
    def _reading(self) -> MemoryReading:
        return MemoryReading(lambda: self._tables)


IN_MEMORY: dict[str, type[MemoryStore]] = {"memory": MemoryStore, "read committed": ReadCommitted}


@pytest.fixture(params=[*IN_MEMORY, "sqlite"])
async def open_store(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Open]:
    """Opens the same store each time it is called; what it has opened is closed in the end."""
    memory = IN_MEMORY.get(request.param, MemoryStore)()
    opened: list[Store] = []

    async def open_it() -> Store:
        opened.append(memory if request.param in IN_MEMORY else await open_sql(url))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Open) -> Store:
    return await open_store()
