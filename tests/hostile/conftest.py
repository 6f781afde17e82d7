"""A real server process with two guests: a hostile one at 127.0.0.1, and another at 127.0.0.2."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mdsvc.app import open_store
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from tests.cli.values import guest
from tests.http.wire import Wire

HOSTILE, OTHER = "127.0.0.1", "127.0.0.2"
UUIDS = {
    ip: f"1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f5{number}"
    for number, ip in enumerate((HOSTILE, OTHER), 1)
}


@dataclass
class Server:
    """The process; all that it has logged."""

    pid: int
    port: int
    log: list[str] = field(default_factory=list)

    @property
    def ask(self) -> Wire:
        return Wire(self.port)

    def memory(self) -> int:
        """MiB that are its own."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+)", status)
        assert match, "it lives"
        return int(match[1]) // 1024

    async def other_is_answered(self) -> None:
        """Within a guest's patience; also that the server lives."""
        async with asyncio.timeout(8):
            reply = await self.ask("/openstack/latest/meta_data.json", peer=OTHER)
        assert reply.status == 200

    def check_log(self) -> None:
        """No traceback, and no fault."""
        wrong = [line for line in self.log if "Traceback" in line or " ERROR " in line]
        assert not wrong, wrong[:3]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    url = f"sqlite:///{tmp_path}/store.db"
    store = await open_store(url)
    await add_host(store, sample.big_host())
    for ip, uuid in UUIDS.items():
        form = guest(uuid, addresses=[{"network": "net-a", "ip": ip}])
        await create_instance(store, from_builtins(form, Instance), None)
    await store.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from mdsvc.cli import main; main()", "serve"),
        *("--store", url, "--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0"),
        env={**os.environ, "MDSVC_LOG_LEVEL": "info"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    running = Server(process.pid, 0)
    try:
        while "ready" not in (line := (await process.stderr.readline()).decode()):
            if found := re.search(r"guests: http://127\.0\.0\.1:(\d+)", line):
                running.port = int(found[1])
        reading = asyncio.create_task(_read(process.stderr, running.log))
        yield running
        process.terminate()
        await process.wait()
        await reading
        running.check_log()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read(stream: asyncio.StreamReader, log: list[str]) -> None:
    while line := await stream.readline():
        log.append(line.decode(errors="replace"))
