"""The real `mdsvc serve` on this host's loopback, with one guest: that whom QEMU forwards for."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, place_instance
from mdsvc.placing.choice import choose
from mdsvc.placing.usage import place, remove
from mdsvc.policy.flavor import request
from mdsvc.store.opening import open_store
from mdsvc.topology import Host
from tests.cli.command import MDSVC, environment
from tests.cli.values import UUID, guest, host

MIXED = {"hw:numa_nodes": "1", "hw:cpu_policy": "mixed"}
HOST = host(cpu_shared_set="0-1,4-5,8-9,12-13", cpu_dedicated_set="2-3,6-7,10-11,14-15")


def form(dedicated: str) -> dict[str, Any]:
    """A guest of four vCPUs, of which these are dedicated; it asks from 127.0.0.1."""
    specs = {**MIXED, "hw:cpu_dedicated_mask": dedicated} if dedicated else {}
    flavor = {"vcpus": 4, "memory_mb": 512, "extra_specs": specs}
    return guest(flavor=flavor, addresses=[{"network": "net-a", "ip": "127.0.0.1"}])


class Server:
    """A context manager that has made the host and the guest, and serves them once started."""

    def __init__(self, directory: Path, dedicated: str) -> None:
        self._url = f"sqlite:///{directory / 'store.db'}"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        asyncio.run(self._fill(dedicated))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Ready when this returns; at the same port as before."""
        places = ("--guest", f"127.0.0.1:{self.port}", "--operator", "127.0.0.1:0")
        self._process = subprocess.Popen(
            [str(MDSVC), "serve", "--store", self._url, *places],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stderr
        said = ""
        while not said.endswith("mdsvc: ready\n"):
            line = self._process.stderr.readline()
            assert line, said
            said += line
        [port] = re.findall(r"guests: http://127\.0\.0\.1:(\d+)", said)
        self.port = int(port)

    def stop(self) -> None:
        if self._process:
            with self._process:
                self._process.kill()
            self._process = None

    def change(self, dedicated: str) -> None:
        """The guest has another layout from one moment to the next."""
        asyncio.run(self._change(dedicated))

    async def _fill(self, dedicated: str) -> None:
        store = await open_store(self._url)
        await add_host(store, from_builtins(HOST, Host))
        await create_instance(store, from_builtins(form(dedicated), Instance), None)
        await store.close()

    async def _change(self, dedicated: str) -> None:
        """In one transaction: a resize would have the guest's cooperation, and its time."""
        wanted = from_builtins(form(dedicated), Instance)
        store = await open_store(self._url)
        async with store.transaction() as tx:
            old = await tx.get_instance(UUID)
            assert old
            [stored] = await tx.list_hosts()
            free = remove(stored, old.layout, old.flavor)
            chosen, layout = choose([free], request(wanted.flavor, wanted.image))
            placed = place_instance(wanted, chosen.name, layout)
            await tx.update_host(place(chosen, layout, wanted.flavor))
            await tx.update_instance(replace(placed, generation=old.generation + 1))
        await store.close()
