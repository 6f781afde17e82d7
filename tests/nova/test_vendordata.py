"""A real Nova asks our target for vendor data, which is told of the guest by Nova's own API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from mdsvc.app import target_app
from mdsvc.metrics import Metrics
from mdsvc.nova.clouds import Cloud as Entry
from mdsvc.nova.keystone import CloudSession
from mdsvc.settings import Settings
from tests.target.cloud import FakeCloud

from .programs import Cloud, Guest
from .serving import agents_headers, ask

VENDOR = "/openstack/latest/vendor_data2.json"
KEY = "k3y"


@pytest.fixture(scope="module")
def mixed(nova: Cloud) -> Iterator[Guest]:
    """A guest with one shared and three dedicated vCPUs."""
    guest = nova.boot(4, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"})
    yield guest
    nova.ask("vendordata", targets=[])
    nova.ask("delete", uuid=guest.uuid)


@pytest.fixture
async def target(nova: Cloud, mixed: Guest) -> AsyncIterator[str]:
    """The address of a target, which is told by Nova's own API of the guest."""
    async with AsyncExitStack() as stack:
        cloud = await FakeCloud().start()
        stack.push_async_callback(cloud.stop)
        cloud.servers[mixed.uuid] = (
            nova.ask("show", uuid=mixed.uuid)["server"],
            nova.ask("topology", uuid=mixed.uuid),
        )
        entry = Entry(name="c", auth_url=cloud.url, auth={})
        session = await stack.enter_async_context(CloudSession(entry))
        settings = Settings(vendordata="127.0.0.1:0", cloud="c", vendordata_secret=(KEY,))
        app = target_app(settings, session, None, Metrics(None), is_local=True)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"


async def vendor_data(nova: Cloud, guest: Guest, *targets: str) -> Any:
    """What Nova answers the guest, once it asks these targets."""
    await asyncio.to_thread(nova.ask, "vendordata", targets=list(targets))
    headers = agents_headers(guest)
    answer = await asyncio.to_thread(ask, nova.port, "GET", VENDOR, headers)
    assert answer.status == 200
    return json.loads(answer.body)


async def test_novas_vendor_data_has_both_and_is_let_in_by_the_secret_in_the_url(
    nova: Cloud, mixed: Guest, target: str
) -> None:
    url = f"http://nova:{KEY}@{target}/vendordata"
    told = await vendor_data(nova, mixed, f"mdsvc@{url}/layout", f"cloud-init@{url}/cloud-init")
    assert told["static"] == {}
    layout = told["mdsvc"]
    assert (layout["dedicated_cpus"], layout["shared_cpus"]) == ("1-3", "0")
    assert layout["cpu_policy"] == "mixed"
    assert told["cloud-init"].startswith("#cloud-config\n")
    assert json.dumps(layout, separators=(",", ":")) in told["cloud-init"]


async def test_who_is_not_let_in_has_an_empty_object(
    nova: Cloud, mixed: Guest, target: str
) -> None:
    url = f"http://{target}/vendordata/layout"
    assert await vendor_data(nova, mixed, f"mdsvc@{url}") == {"static": {}, "mdsvc": {}}
