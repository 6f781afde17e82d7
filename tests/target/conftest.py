"""The target as it is put together, beside a cloud that the test brings."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

import aiohttp
import pytest
from aiohttp import web

from mdsvc.app import target_app
from mdsvc.metrics import Metrics
from mdsvc.nova.clouds import Cloud
from mdsvc.nova.keystone import CloudSession
from mdsvc.settings import Settings
from mdsvc.store import GuestStore
from tests.target.cloud import FakeCloud, question


class Told(NamedTuple):
    """A response that was read."""

    status: int
    json: Any
    headers: Any


class Door:
    """The target while it runs."""

    def __init__(self, session: aiohttp.ClientSession, url: str, metrics: Metrics) -> None:
        self._session = session
        self.url = url
        self.metrics = metrics

    async def ask(
        self,
        token: str | None = None,
        document: str = "layout",
        body: Any = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Told:
        """As Nova asks."""
        given = {"User-Agent": "openstack-nova-vendordata", **(headers or {})}
        if token is not None:
            given["X-Auth-Token"] = token
        data = (
            {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body or question()}
        )
        url = f"{self.url}/vendordata/{document}"
        async with self._session.request(method, url, headers=given, **data) as answer:
            return Told(answer.status, await answer.json(content_type=None), answer.headers)


class Serve(Protocol):
    """Starts the target beside this cloud, or with this store."""

    def __call__(
        self,
        cloud: FakeCloud | None = None,
        store: GuestStore | None = None,
        *,
        is_local: bool = False,
        **settings: Any,
    ) -> Awaitable[Door]: ...


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as each:
        yield each


@pytest.fixture
async def cloud(stack: AsyncExitStack) -> FakeCloud:
    fake = await FakeCloud().start()
    stack.push_async_callback(fake.stop)
    return fake


@pytest.fixture
def serve(stack: AsyncExitStack) -> Serve:
    async def start(
        cloud: FakeCloud | None = None,
        store: GuestStore | None = None,
        *,
        is_local: bool = False,
        **settings: Any,
    ) -> Door:
        session = None
        if cloud:
            entry = Cloud(name="c", auth_url=cloud.url, auth={})
            session = await stack.enter_async_context(CloudSession(entry, 0.5, 32))
            settings = {"cloud": "c", **settings}
        chosen = Settings(vendordata="127.0.0.1:0", **settings)
        metrics = Metrics(None)
        app = target_app(chosen, session, store, metrics, is_local=is_local)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        return Door(http, f"http://127.0.0.1:{runner.addresses[0][1]}", metrics)

    return start
