"""The operator's door over a real socket, on a store in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
from pytest_aiohttp import AiohttpServer

from mdsvc.app import operator_app
from mdsvc.settings import Settings
from mdsvc.store import Store
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.api.asking import Ask, asking
from tests.http.wire import Wire


class Serve(Protocol):
    """Starts a server on this store, with these settings."""

    def __call__(self, store: Store, is_local: bool = True, **settings: Any) -> Awaitable[Wire]: ...


@pytest.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(aiohttp_server: AiohttpServer, running: AsyncExitStack) -> Serve:
    async def start(store: Store, is_local: bool = True, **settings: Any) -> Wire:
        follower = Follower(store, 0.05)
        await running.enter_async_context(follower.running())
        app = operator_app(store, Settings(**settings), follower, is_local=is_local)
        # As `mdsvc.server` runs it: a body is what was sent.
        server = await aiohttp_server(app, auto_decompress=False)
        assert server.port
        return Wire(server.port, f"127.0.0.1:{server.port}")

    return start


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
async def wire(serve: Serve, store: Store) -> Wire:
    return await serve(store)


@pytest.fixture
def ask(wire: Wire) -> Ask:
    return asking(wire)
