"""The guests' server, as it is put together for them, on a store that the test brings."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

import pytest
from pytest_aiohttp import AiohttpServer

from mdsvc.app import guest_app
from mdsvc.settings import Settings
from mdsvc.store import GuestStore, recent
from tests.http.fakes import FakeStore
from tests.http.guests import rich
from tests.http.wire import Wire


class Serve(Protocol):
    """Starts a server with these settings."""

    def __call__(self, store: GuestStore | None = None, **settings: Any) -> Awaitable[Wire]: ...


@pytest.fixture
def serve(aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Without a store, the rich guest's, which has the address that the test asks from."""
    monkeypatch.setattr(recent, "SECONDS", 0)  # what a test changes is to be seen at once

    async def start(store: GuestStore | None = None, **settings: Any) -> Wire:
        server = await aiohttp_server(guest_app(store or FakeStore(rich()), Settings(**settings)))
        assert server.port
        return Wire(server.port)

    return start
