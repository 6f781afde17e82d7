"""Every store there is, behind one fixture: the tests that ask for it run once for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from mdsvc.store import Store
from mdsvc.store.memory import MemoryReading, MemoryStore
from mdsvc.store.sql import open_sql

from .servers.mariadb import Galera, MariaDb, alone
from .servers.postgresql import PostgreSql

Open = Callable[[], Awaitable[Store]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    server = PostgreSql()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    server = alone()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def galera() -> Iterator[Galera]:
    cluster = Galera()
    yield cluster
    cluster.remove()


SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in ("postgresql", "mariadb")]
"""Engines that need a server: `make test` has their programs, the quick tests do without."""


@pytest.fixture(params=["sqlite", *SERVERS])
def any_url(request: pytest.FixtureRequest) -> str:
    """A database of each engine that is empty, or does not exist yet."""
    return new_url(request, request.param)


def new_url(request: pytest.FixtureRequest, engine: str) -> str:
    if engine == "sqlite":
        url: str = request.getfixturevalue("url")
        return url
    server: PostgreSql | MariaDb = request.getfixturevalue(engine)
    return server.new_database()


class ReadCommitted(MemoryStore):
    """Isolates no more than READ COMMITTED does: each read sees what was committed last, also in
    the middle of a transaction.
    """

    @override
    def _reading(self) -> MemoryReading:
        return MemoryReading(lambda: self._tables)


IN_MEMORY: dict[str, type[MemoryStore]] = {"memory": MemoryStore, "read committed": ReadCommitted}


@pytest.fixture(params=[*IN_MEMORY, "sqlite", *SERVERS])
def place(request: pytest.FixtureRequest) -> str | MemoryStore:
    """Where each kind of store is kept: a URL, or the store itself."""
    if request.param in IN_MEMORY:
        return IN_MEMORY[request.param]()
    return new_url(request, request.param)


@pytest.fixture
async def open_store(place: str | MemoryStore) -> AsyncIterator[Open]:
    """Opens the same store each time it is called; what it has opened is closed in the end."""
    opened: list[Store] = []

    async def open_it() -> Store:
        opened.append(place if isinstance(place, MemoryStore) else await open_sql(place))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Open) -> Store:
    return await open_store()
