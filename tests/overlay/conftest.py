"""The overlay, as it is put together, in front of services that the test brings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from mdsvc.app import overlay_answers, overlay_app
from mdsvc.identity.neutron import signed
from mdsvc.listening.connections import Runner
from mdsvc.metrics import Metrics
from mdsvc.nova.addresses import parse_upstream
from mdsvc.nova.upstreams import Upstreams
from mdsvc.settings import Settings
from mdsvc.waiting import Waiting
from tests.overlay.upstream import FakeNova

SECRET = "s3cret"
UUID = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
PROJECT = "p1"


def headers(uuid: str = UUID, project: str = PROJECT) -> dict[str, str]:
    return {**signed(uuid, project, SECRET), "X-Forwarded-For": "10.0.0.5"}


class Told:
    """A response that was read."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body


class Front:
    """The overlay while it runs."""

    def __init__(self, session: aiohttp.ClientSession, url: str, metrics: Metrics) -> None:
        self._session = session
        self._url = url
        self.metrics = metrics

    async def until_waiting(self, count: int) -> None:
        """Until so many requests wait for a change."""
        line = f"mdsvc_waiting {count}.0".encode()
        while line not in await self.metrics.text():  # noqa: ASYNC110  # figures are polled
            await asyncio.sleep(0.01)

    async def ask(
        self, path: str, method: str = "GET", who: dict[str, str] | None = None, **more: Any
    ) -> Told:
        url = URL(self._url + path, encoded=True)
        given = headers() if who is None else who
        async with self._session.request(method, url, headers=given, **more) as response:
            return Told(response, await response.read())


class Start(Protocol):
    """Starts the overlay in front of these, with an injected clock for what is kept."""

    def __call__(self, *upstreams: FakeNova | str, **settings: Any) -> Awaitable[Front]: ...


class Clock:
    """A clock that the test sets forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as each:
        yield each


@pytest.fixture
async def nova(stack: AsyncExitStack) -> FakeNova:
    fake = await FakeNova([2, 3, 5]).start()
    stack.push_async_callback(fake.stop)
    return fake


@pytest.fixture
def front(stack: AsyncExitStack, clock: Clock) -> Start:
    async def start(*upstreams: FakeNova | str, **settings: Any) -> Front:
        texts = [each if isinstance(each, str) else _url(each) for each in upstreams]
        chosen = Settings(
            **{"identity": "neutron", "shared_secret": (SECRET,), "guest_rate": 0, **settings}
        )
        return await running(stack, texts, chosen, clock)

    return start


async def running(
    stack: AsyncExitStack, texts: list[str], settings: Settings, clock: Callable[[], float]
) -> Front:
    metrics, waiting = Metrics(None), Waiting()
    addresses = [parse_upstream(text) for text in texts]
    upstreams = await stack.enter_async_context(Upstreams(addresses, metrics.upstream_asked, clock))
    answers = overlay_answers(upstreams, metrics, clock)
    stack.push_async_callback(answers.close)
    app = overlay_app(settings, upstreams, answers, waiting, metrics)
    runner = Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    stack.callback(waiting.close)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=connector, auto_decompress=False)
    )
    return Front(session, f"http://127.0.0.1:{runner.addresses[0][1]}", metrics)


def _url(nova: FakeNova) -> str:
    return f"http://127.0.0.1:{nova.port}"
