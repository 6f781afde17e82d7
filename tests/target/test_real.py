"""The target with the real parts of a cloud: Keystone, Nova's own code that asks, cloud-init's that
reads what it said, and `mdsvc serve` itself between them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]  # has no types of its own

from mdsvc.demo.guest import cloud_init
from tests.nova.client import PYTHON
from tests.target.cloud import MIXED, PLAIN, PROJECT, FakeCloud, question
from tests.target.real_keystone import Keystone, running
from tests.target.test_door import LAYOUT

HERE = Path(__file__).parent
MDSVC = HERE.parents[1] / ".venv/bin/mdsvc"
INSTANCE = {
    "project_id": PROJECT,
    "uuid": MIXED,
    "image_ref": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    "user_data": None,
    "hostname": "dpdk-0",
    "metadata": {"role": "dataplane"},
    "system_metadata": {"boot_roles": "reader,member"},
}
NOVA_CONF = """
[api]
vendordata_providers = StaticJSON, DynamicJSON
vendordata_dynamic_targets = {targets}
vendordata_dynamic_connect_timeout = 5
vendordata_dynamic_read_timeout = {seconds}
[vendordata_dynamic_auth]
auth_type = password
auth_url = {keystone}/v3
username = {user}
password = right
project_name = service
user_domain_name = Default
project_domain_name = Default
"""


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """Its catalog has a compute service that nobody runs: the tests' own are named beside it."""
    with running(tmp_path_factory.mktemp("keystone"), "http://127.0.0.1:9/v2.1") as keystone:
        yield keystone


class Cloud(NamedTuple):
    """The cloud, and where the target answers beside it."""

    keystone: Keystone
    compute: FakeCloud
    target: str
    folder: Path

    def conf(self, target: str | None = None, user: str = "nova", seconds: int = 5) -> Path:
        """Nova's settings."""
        url = target or self.target
        targets = f"mdsvc@{url}/vendordata/layout, cloud-init@{url}/vendordata/cloud-init"
        file = self.folder / "nova.conf"
        keystone = self.keystone.url
        file.write_text(
            NOVA_CONF.format(targets=targets, keystone=keystone, user=user, seconds=seconds)
        )
        return file


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as each:
        yield each


@pytest.fixture
async def real(keystone: Keystone, stack: AsyncExitStack, tmp_path: Path) -> Cloud:
    """`mdsvc serve` as a process, with an application credential's place in clouds.yaml taken by a
    password; Nova's API is played, and takes whatever token comes.
    """
    compute = FakeCloud(validates=False)
    await compute.start()
    stack.push_async_callback(compute.stop)
    auth = {
        "auth_url": f"{keystone.url}/v3",
        "username": "admin",
        "password": "right",
        "project_name": "service",
    }
    file = tmp_path / "clouds.yaml"
    override = {"compute_endpoint_override": f"{compute.url}/compute"}
    file.write_text(yaml.safe_dump({"clouds": {"c": {"auth": auth, **override}}}))
    process = await asyncio.create_subprocess_exec(
        MDSVC,
        *("serve", "--vendordata", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--cloud", "c"),
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(file)},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    stack.push_async_callback(process.wait)
    stack.callback(process.send_signal, signal.SIGTERM)
    line = (await process.stderr.readline()).decode()
    assert "vendor data: http://" in line, line
    drained = asyncio.create_task(process.stderr.read())
    stack.callback(drained.cancel)
    target = line.split()[3]
    async with aiohttp.ClientSession() as session:
        # On a busy machine Keystone's first answers may take longer than a target has.
        while await asked_with(session, target, await new_token(session, keystone.url)) == 503:
            pass
    return Cloud(keystone, compute, target, tmp_path)


async def new_token(session: aiohttp.ClientSession, url: str) -> str:
    """One of the service `nova`, as Keystone's clients get it."""
    domain = {"name": "Default"}
    user = {"name": "nova", "password": "right", "domain": domain}
    identity = {"methods": ["password"], "password": {"user": user}}
    auth = {"identity": identity, "scope": {"project": {"name": "service", "domain": domain}}}
    async with session.post(f"{url}/v3/auth/tokens", json={"auth": auth}) as answer:
        return answer.headers["X-Subject-Token"]


async def asked_with(session: aiohttp.ClientSession, target: str, token: str) -> int:
    """The status of a question with this token."""
    headers = {"X-Auth-Token": token}
    url = f"{target}/vendordata/layout"
    async with session.post(url, json=question(), headers=headers) as answer:
        return answer.status


async def ask_nova(conf: Path, *more: str, uuid: str = MIXED) -> Any:
    """What Nova's code makes of it."""
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        *("-E", "-s", "-W", "ignore", str(HERE / "nova_vendordata.py"), str(conf), *more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(json.dumps({**INSTANCE, "uuid": uuid}).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


async def test_novas_own_code_gets_both_at_its_second_try_where_its_token_is_good_no_more(
    real: Cloud,
) -> None:
    told = await ask_nova(real.conf(), "revoked")
    assert told.pop("renewed")
    assert told["mdsvc"] == LAYOUT
    assert cloud_init_writes(told, real.folder) == [["/etc/mdguest/layout.json", LAYOUT]]


def cloud_init_writes(dynamic: Any, folder: Path) -> list[Any]:
    file = folder / "vendor_data2.json"
    file.write_text(json.dumps({"static": {}, **dynamic}))
    packages = cloud_init()
    assert packages, "no .cache/cloud-init: run make setup"
    done = subprocess.run(
        ["/usr/bin/python3", "-P", HERE / "cloud_init_vendordata.py", file],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return [[path, json.loads(text)] for path, text in json.loads(done.stdout)]


async def test_a_token_that_is_over_or_not_a_services_is_refused(real: Cloud) -> None:
    asked = real.compute.requests["nova"]
    async with aiohttp.ClientSession() as session:
        assert await asked_with(session, real.target, real.keystone.expired) == 401
        assert await asked_with(session, real.target, "nonsense") == 401
    assert await ask_nova(real.conf(user="plain")) == {"mdsvc": {}, "cloud-init": {}}
    assert real.compute.requests["nova"] == asked


async def test_a_guest_boots_whatever_the_target_is(real: Cloud, stack: AsyncExitStack) -> None:
    """Dead, or wrong: Nova has an empty object for it, and cloud-init goes on."""

    async def wrong(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{]}")
        await writer.drain()
        writer.close()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    nothing: dict[str, Any] = {"mdsvc": {}, "cloud-init": {}}
    for answer in (wrong, slow):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        stack.callback(server.close)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await ask_nova(real.conf(url, seconds=1)) == nothing
    assert await ask_nova(real.conf("http://127.0.0.1:9")) == nothing
    assert cloud_init_writes(nothing, real.folder) == []


async def test_nova_itself_is_answered_while_the_topology_api_hangs(real: Cloud) -> None:
    """Within its 5 seconds: what is known, or an error, and the guest boots with what there is."""
    real.compute.hang["nova"] = asyncio.Event()
    assert (await ask_nova(real.conf()))["mdsvc"] == LAYOUT
    assert await ask_nova(real.conf(), uuid=PLAIN) == {"mdsvc": {}, "cloud-init": {}}
