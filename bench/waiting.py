"""Guests that wait for a change: what they cost, and how soon one is told.

    .venv/bin/python -m bench.waiting [GUESTS]

Each has a connection of its own to one server, behind Neutron's agent as far as the server can
tell, and asks again as soon as it is answered. For each engine it prints the server's memory for a
guest (private pages, as smaps_rollup has them; what the kernel has for sockets is beside that), its
CPU while all wait, and how long after a change was stored the guest's new document is there: a
change that is asked of the same server, and one that another process stores.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
import statistics
import sys
import tempfile
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from msgspec.structs import replace
from typing_extensions import override

from bench.engines import Fleet, engines, guest
from bench.load import cpu_seconds
from bench.serve import MDSVC, SECRET, Served, server
from mdsvc.control.instances import change_instance
from mdsvc.forms import to_json
from mdsvc.identity.neutron import signed
from mdsvc.store import Store
from mdsvc.store.sql import open_sql

PATH = "/openstack/latest/meta_data.json?wait_for_change=true&timeout_sec=25"
IDLE_SECONDS = 25
CHANGES = 20
ON_A_HOST = 10
AT_ONCE = 100
"""Connections that are begun together: fewer than a listener holds for a server that is busy."""


class Guest(asyncio.Protocol):
    """Waits, and notes when the last answer was complete and what it was."""

    def __init__(self, number: int) -> None:
        headers = {
            "Host": "169.254.169.254",
            "X-Forwarded-For": "10.0.0.5",
            **signed(guest(number).uuid, f"p{number % 100}", SECRET),
        }
        lines = [f"{name}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([f"GET {PATH} HTTP/1.1", *lines, "", ""]).encode()
        self._read = b""
        self._answered = asyncio.Event()
        self.at = 0.0
        self.body = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not end or not length or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"a guest was answered {head[:100]!r}")
        self.at, self.body, self._read = time.perf_counter(), body, b""
        self._answered.set()
        self.transport.write(self._request)

    async def told(self, what: str) -> float:
        """When an answer came that has it in it."""
        while what.encode() not in self.body:
            self._answered.clear()
            await asyncio.wait_for(self._answered.wait(), 30)
        return self.at


class Operator(HTTPConnection):
    """The operator's listener, at a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask_for(path: str, number: int, name: str) -> None:
    """Have the server itself change a guest's name."""
    operator = Operator(path)
    described = replace(guest(number), name=name)
    kind = {"Content-Type": "application/json"}
    operator.request("PUT", f"/v1/instances/{described.uuid}", to_json(described), kind)
    reply = operator.getresponse()
    if reply.status != 200:
        raise SystemExit(f"the change was answered {reply.status}: {reply.read()[:200]!r}")
    operator.close()


def number_of(at: int) -> int:
    """As the fleet numbers them: a thousand for each host."""
    return at // ON_A_HOST * 1000 + at % ON_A_HOST


def private_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"Private_\w+: +(\d+) kB", text)))


async def connected(port: int, count: int) -> list[Guest]:
    loop = asyncio.get_running_loop()
    guests = [Guest(number_of(at)) for at in range(count)]
    for first in range(0, count, AT_ONCE):
        some = [partial(guests.__getitem__, at) for at in range(first, min(first + AT_ONCE, count))]
        await asyncio.gather(*(loop.create_connection(one, "127.0.0.1", port) for one in some))
    return guests


async def delays(guests: list[Guest], store: Store, operator: str | None) -> list[float]:
    """In milliseconds, of so many changes: each from when it was stored, sorted."""
    took = []
    for turn in range(CHANGES):
        at = turn * len(guests) // CHANGES
        number = number_of(at)
        name = f"renamed-{turn}-{'server' if operator else 'other'}"
        if operator:
            await asyncio.to_thread(ask_for, operator, number, name)
        else:
            await change_instance(store, replace(guest(number), name=name))
        stored = time.perf_counter()
        took.append(max(0.0, await guests[at].told(name) - stored) * 1e3)
    return sorted(took)


async def measure(served: Served, url: str, operator: str, count: int) -> None:
    """Let so many wait, and print what it comes to."""
    store = await open_sql(url)
    before = private_kib(served.pid)
    guests = await connected(served.port, count)
    await asyncio.sleep(5)  # all have been read
    held = (private_kib(served.pid) - before) / count
    began = cpu_seconds(served.pid)
    await asyncio.sleep(IDLE_SECONDS)
    idle = (cpu_seconds(served.pid) - began) / IDLE_SECONDS * 100
    print(f"  memory, each        {held:8.1f} KiB")
    print(f"  CPU, all wait       {idle:8.1f} %")
    for name, way in (("same server", operator), ("another process", None)):
        took = await delays(guests, store, way)
        print(f"  told, {name:15}{statistics.median(took):7.0f} ms, at most {took[-1]:.0f} ms")
    for one in guests:
        one.transport.abort()
    await asyncio.sleep(5)
    began = cpu_seconds(served.pid)
    await asyncio.sleep(5)
    gone = (cpu_seconds(served.pid) - began) / 5 * 100
    left = (private_kib(served.pid) - before) / count
    print(f"  once all hung up    {gone:8.1f} % CPU, {left:.1f} KiB each")
    await store.close()


async def fill(url: str, count: int) -> None:
    store = await open_sql(url)
    await Fleet(store, count // ON_A_HOST).fill(count)
    await store.close()


def main(count: int = 1_000) -> None:
    """Measure each engine in turn."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    print(f"{count} guests wait; load before: {os.getloadavg()[0]:.1f}")
    with engines() as urls, tempfile.TemporaryDirectory() as folder:
        for name, url in urls.items():
            print(name)
            asyncio.run(fill(url, count))
            operator = f"{folder}/{name}.sock"
            listeners = ["--guest", "127.0.0.1:0", "--operator", f"unix:{operator}"]
            command = [*MDSVC, "serve", "--store", url, *listeners, "--identity", "neutron"]
            settings = {
                "MDSVC_SHARED_SECRET": SECRET,
                "MDSVC_WAIT_SECONDS": "25",
                "MDSVC_GUEST_CONNECTIONS": "0",
            }
            with server(command, **settings) as served:
                asyncio.run(measure(served, url, operator, count))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
