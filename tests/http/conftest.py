"""The guests' server, as it is put together for them, on a store that the test brings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
from aiohttp import web

from mdsvc.app import Live, guest_app
from mdsvc.listening.connections import Runner
from mdsvc.settings import Settings
from mdsvc.store import GuestStore
from mdsvc.store.following import Follower
from mdsvc.waiting import Waiting
from tests.http.fakes import FakeStore
from tests.http.guests import rich
from tests.http.wire import Wire


class Serve(Protocol):
    """Starts a server with these settings."""

    def __call__(
        self, store: GuestStore | None = None, follower: Follower | None = None, **settings: Any
    ) -> Awaitable[Wire]: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Without a store, the rich guest's, which has the address that the test asks from. Without a
    follower nothing that is read is kept: what a test changes is seen at once.
    """
    async with AsyncExitStack() as stack:

        async def start(
            store: GuestStore | None = None, follower: Follower | None = None, **settings: Any
        ) -> Wire:
            live = Live([], None, follower)
            return Wire(
                await served(
                    stack,
                    store or FakeStore(rich()),
                    Settings(**{"guest_rate": 0, **settings}),
                    live,
                )
            )

        yield start


async def served(
    stack: AsyncExitStack, store: GuestStore, settings: Settings, live: Live | None = None
) -> int:
    """The port of a guests' server that runs as long as the stack; a fake store wakes who waits."""
    waiting = store.waiting if isinstance(store, FakeStore) else Waiting()
    runner = Runner(guest_app(store, settings, waiting, live=live), shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port
