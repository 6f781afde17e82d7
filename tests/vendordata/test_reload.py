"""What is read anew at SIGHUP: the static file and the secret. A broken one changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc import server
from mdsvc.app import Reload, vendordata_targets
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.cli.values import guest
from tests.http.guests import HOST, poor
from tests.http.test_waiting import until
from tests.http.wire import Wire
from tests.vendordata.conftest import MakeTarget

LATEST = "/openstack/latest/vendor_data2.json"


async def store() -> MemoryStore:
    made = MemoryStore()
    await add_host(made, HOST)
    here = [{"network": "net-a", "ip": "127.0.0.1"}]
    await create_instance(made, from_builtins(guest(addresses=here), Instance), None)
    return made


def settings(**more: object) -> Settings:
    return Settings(guest=("127.0.0.1:0",), operator="127.0.0.1:0", **more)  # type: ignore[arg-type]


async def test_a_static_file_is_read_anew_and_a_broken_one_keeps_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "vendor.json"
    file.write_text('{"a": 1}')
    async with server.listeners(settings(vendor_data=file), await store()) as lines:
        ask = Wire(int(lines[0].split()[1].rpartition(":")[2]))
        first = await ask(LATEST)
        assert first.json == {"static": {"a": 1}}
        etag = first.headers["ETag"].removeprefix("W/").strip('"')
        waits = asyncio.create_task(ask(f"{LATEST}?wait_for_change=true&last_etag={etag}"))
        file.write_text('{"a": ')
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "going on" in caplog.text)
        [line] = [each for each in caplog.messages if "SIGHUP" in each]
        assert line.startswith(f"SIGHUP: vendor_data: {file}: this is no JSON document")
        assert (await ask(LATEST)).json == {"static": {"a": 1}}
        assert not waits.done()
        file.write_text('{"a": 2}')
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            assert (await waits).json["static"] == {"a": 2}
        assert (await ask("/openstack/latest/vendor_data.json")).json == {"a": 2}


async def test_a_broken_one_is_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "vendor.json"
    file.write_text("[]")
    with pytest.raises(BadInput, match=f"vendor_data: {file}"):
        async with server.listeners(settings(vendor_data=file), await store()):
            pass


async def test_a_secret_is_read_anew_and_a_broken_one_keeps_the_last_good_one(
    tmp_path: Path, target: MakeTarget
) -> None:
    one = await target()
    file = tmp_path / "secret"
    file.write_text("first")
    chosen = settings(
        vendordata_dynamic_targets=(f"one@{one.url}/",), vendordata_dynamic_token_file=file
    )
    reloads: list[Reload] = []
    async with vendordata_targets(chosen, reloads) as made:
        assert made
        await made.of(poor())
        file.write_text("second")
        reloads[0].read()
        await made.of(replace(poor(), generation=2))
        file.write_text("")
        with pytest.raises(BadInput, match=r"^vendordata_dynamic_token_file: "):
            reloads[0].read()
        await made.of(replace(poor(), generation=3))
    told = [each["Authorization"] for each in one.headers]
    assert told == ["Bearer first", "Bearer second", "Bearer second"]
