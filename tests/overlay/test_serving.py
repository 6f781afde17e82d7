"""``mdsvc serve --upstream``: listeners, probes and figures, and no store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mdsvc.errors import BadInput
from mdsvc.listening.connections import Runner
from mdsvc.server import overlay_listeners
from mdsvc.settings import Settings
from tests.overlay.conftest import SECRET, headers
from tests.overlay.upstream import FakeNova


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as each:
        yield each


def set_to(*upstream: str, **more: str) -> Settings:
    return Settings(
        identity="neutron",
        shared_secret=(SECRET,),
        upstream=upstream,
        guest=("127.0.0.1:0",),
        operator="127.0.0.1:0",
        **more,  # type: ignore[arg-type]  # each is of its own type
    )


async def test_it_serves_without_a_store_and_says_what_the_upstream_is(
    nova: FakeNova,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{nova.port}"
    async with overlay_listeners(set_to(url)) as lines:
        guests, operator = (line.split()[1] for line in lines)
        assert url in lines[0]
        got = await session.get(f"{guests}/openstack", headers=headers())
        assert got.status == 200
        ready = await session.get(f"{operator}/readyz")
        assert await ready.json() == {"status": "ready", "upstreams": {url: "ok"}}
        assert (await session.get(f"{operator}/healthz")).status == 200
        figures = await (await session.get(f"{operator}/metrics")).text()
        assert 'mdsvc_upstream_requests_total{outcome="ok"} 1.0' in figures
        for path in ("/v1/hosts", "/v1", "/other"):
            refused = await session.get(operator + path)
            assert refused.status == 404
            assert (await refused.json())["code"] == "not_found"
        await nova.stop()
        away = await session.get(f"{operator}/readyz")
        assert away.status == 503
        assert url in (await away.json())["detail"]
        assert (await session.get(f"{operator}/healthz")).status == 200
    assert not os.listdir(tmp_path)  # noqa: PTH208  # not even a store


async def test_it_is_ready_while_one_of_several_upstreams_answers_and_says_which(
    nova: FakeNova, session: aiohttp.ClientSession
) -> None:
    dead, there = "http://127.0.0.1:9", f"http://127.0.0.1:{nova.port}"
    async with overlay_listeners(set_to(dead, there)) as lines:
        guests, operator = (line.split()[1] for line in lines)
        for _ in range(5):  # also once nobody asks the dead one any more
            got = await session.get(f"{guests}/openstack", headers=headers())
            assert got.status == 200
            ready = await session.get(f"{operator}/readyz")
            upstreams = (await ready.json())["upstreams"]
            assert (ready.status, upstreams[there]) == (200, "ok")
            assert "Cannot connect" in upstreams[dead]


async def test_an_upstream_can_be_a_unix_socket(
    session: aiohttp.ClientSession, stack: AsyncExitStack, tmp_path: Path
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="latest")

    app = web.Application()
    app.router.add_get("/openstack", answer)
    runner = Runner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.UnixSite(runner, str(tmp_path / "nova")).start()
    async with overlay_listeners(set_to(f"unix:{tmp_path}/nova")) as lines:
        got = await session.get(f"{lines[0].split()[1]}/openstack", headers=headers())
        assert await got.text() == "latest"


async def test_it_is_for_guests_that_the_agent_names() -> None:
    with pytest.raises(BadInput, match="upstream: expected identity = neutron"):
        async with overlay_listeners(Settings(upstream=("http://nova",))):
            pass
