"""The guests' server with targets for vendor data, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
from aiohttp import web

from mdsvc.app import Live, guest_app, vendordata_targets
from mdsvc.listening.connections import Runner
from mdsvc.settings import Settings
from mdsvc.store import recent
from tests.http.fakes import FakeStore
from tests.http.wire import Wire
from tests.vendordata.target import FakeTarget


class MakeTarget(Protocol):
    """Starts a target."""

    def __call__(self) -> Awaitable[FakeTarget]: ...


class Serve(Protocol):
    """Starts a server with these targets, of the store's guest that asks from 127.0.0.1."""

    def __call__(
        self, store: FakeStore, targets: dict[str, FakeTarget], **settings: Any
    ) -> Awaitable[Wire]: ...


@pytest.fixture
async def target() -> AsyncIterator[MakeTarget]:
    async with AsyncExitStack() as stack:

        async def make() -> FakeTarget:
            made = await FakeTarget().start()
            stack.push_async_callback(made.stop)
            return made

        yield make


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    monkeypatch.setattr(recent, "SECONDS", 0)  # what a test changes is to be seen at once
    async with AsyncExitStack() as stack:

        async def start(store: FakeStore, targets: dict[str, FakeTarget], **settings: Any) -> Wire:
            named = tuple(f"{name}@{each.url}/v" for name, each in targets.items())
            chosen = Settings(vendordata_dynamic_targets=named, **settings)
            vendordata = await stack.enter_async_context(vendordata_targets(chosen, []))
            if vendordata:
                vendordata.renewed = store.waiting.wake
            app = guest_app(store, chosen, store.waiting, live=Live([], vendordata))
            runner = Runner(app, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return Wire(runner.addresses[0][1])

        yield start
