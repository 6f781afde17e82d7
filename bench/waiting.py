"""Guests that wait for a change: what they cost, and how soon one is told.

    .venv/bin/python -m bench.waiting [GUESTS [ENGINE]…]

Each has a connection of its own to one server, behind Neutron's agent as far as the server can
tell. It has asked once without waiting, as a guest that boots does; then it waits, and after its
first answer it asks again at a moment of its own, as guests do not boot together. For each
engine it prints the server's memory for what is kept of a guest and for one that waits (private
pages, as smaps_rollup has them; what the kernel has for sockets is beside that); its CPU while all
wait and nobody asks, and while they ask again; how long after a change was stored the guest's new
document is there: a change that is asked of the same server, and one that another process stores;
and the same of a second crowd, once the first has hung up.
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
from random import Random

from msgspec.structs import replace
from typing_extensions import override

from bench.engines import Fleet, engines, guest
from bench.load import cpu_seconds
from bench.servers import MDSVC, SECRET, Served, server
from mdsvc.control.instances import change_instance
from mdsvc.forms import to_json
from mdsvc.identity.neutron import signed
from mdsvc.store import Store
from mdsvc.store.sql import open_sql

PATH = "/openstack/latest/meta_data.json"
WAIT_SECONDS = 25
PAUSE_SECONDS = 10
"""At most, once: a silent connection is closed after 15."""

QUIET_SECONDS = 5
SETTLE_SECONDS = 3
CHANGES = 20
ON_A_HOST = 10
AT_ONCE = 100
"""Connections that are begun together: fewer than a listener holds for a server that is busy."""


RANDOM = Random(1)


def request(number: int, target: str) -> bytes:
    headers = {
        "Host": "169.254.169.254",
        "X-Forwarded-For": "10.0.0.5",
        **signed(guest(number).uuid, f"p{number % 100}", SECRET),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode()


class Guest(asyncio.Protocol):
    """Waits, and notes when the last answer was complete and what it was."""

    answers = 0

    def __init__(self, number: int) -> None:
        target = f"{PATH}?wait_for_change=true&timeout_sec={WAIT_SECONDS}"
        self._request = request(number, target)
        self._read = b""
        self._answered = asyncio.Event()
        self.at = 0.0
        self.body = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._wait()

    def _wait(self) -> None:
        self.transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not end or not length or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"a guest was answered {head[:100]!r}")
        pause = 0.0 if self.body else RANDOM.uniform(0, PAUSE_SECONDS)
        self.at, self.body, self._read = time.perf_counter(), body, b""
        self._answered.set()
        Guest.answers += 1
        asyncio.get_running_loop().call_later(pause, self._wait)

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


async def ask_once(port: int, count: int) -> None:
    """For each guest, without waiting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for at in range(count):
        writer.write(request(number_of(at), PATH))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        await reader.readexactly(int(length[1]))
    writer.close()


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
        await asyncio.sleep(RANDOM.uniform(0, 1))
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


class Watched:
    """What a server has used since, in so many seconds."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._began, self._cpu = time.perf_counter(), cpu_seconds(served.pid)
        self._answers = Guest.answers

    def cpu(self) -> str:
        """In % of a core."""
        passed = time.perf_counter() - self._began
        return f"{(cpu_seconds(self._served.pid) - self._cpu) / passed * 100:6.1f} % CPU"

    def rate(self) -> str:
        return f"{(Guest.answers - self._answers) / (time.perf_counter() - self._began):.0f}/s"


class Crowd:
    """So many guests of a server, and what it has come to since ``before`` they came."""

    def __init__(self, served: Served, count: int, before: int) -> None:
        self._served, self._count, self._before = served, count, before

    def each(self) -> str:
        memory = private_kib(self._served.pid) - self._before
        return f"{memory / self._count:6.1f} KiB each"

    async def come(self) -> list[Guest]:
        """All wait, and nobody asks."""
        await ask_once(self._served.port, self._count)
        print(f"  all have asked once    {self.each()}")
        guests = await connected(self._served.port, self._count)
        await asyncio.sleep(SETTLE_SECONDS)
        watched = Watched(self._served)
        await asyncio.sleep(QUIET_SECONDS)
        print(f"  all wait               {self.each()}, {watched.cpu()}, {watched.rate()}")
        return guests

    async def ask_again(self) -> None:
        """It begins within the first wait."""
        await asyncio.sleep(2 * WAIT_SECONDS)
        watched = Watched(self._served)
        await asyncio.sleep(WAIT_SECONDS)
        print(f"  and ask again          {self.each()}, {watched.cpu()}, {watched.rate()}")

    async def go(self, guests: list[Guest]) -> None:
        """All hang up."""
        for one in guests:
            one.transport.abort()
        await asyncio.sleep(SETTLE_SECONDS)
        watched = Watched(self._served)
        await asyncio.sleep(QUIET_SECONDS)
        print(f"  once all hung up       {self.each()}, {watched.cpu()}", flush=True)


async def measure(served: Served, url: str, operator: str, count: int) -> None:
    """A crowd, and another one, which shows whether memory that was left is used again."""
    store = await open_sql(url)
    crowd = Crowd(served, count, private_kib(served.pid))
    guests = await crowd.come()
    await crowd.ask_again()
    for name, way in (("same server", operator), ("another process", None)):
        took = await delays(guests, store, way)
        print(f"  told, {name:15}  {statistics.median(took):6.0f} ms, at most {took[-1]:.0f} ms")
    await crowd.go(guests)
    print("  another crowd as large")
    await crowd.go(await crowd.come())
    await store.close()


async def fill(url: str, count: int) -> None:
    store = await open_sql(url)
    await Fleet(store, count // ON_A_HOST).fill(count)
    await store.close()


def main(count: int = 1_000, *chosen: str) -> None:
    """Measure each engine in turn, or the chosen ones."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    print(f"{count} guests wait; load before: {os.getloadavg()[0]:.1f}")
    with engines() as urls, tempfile.TemporaryDirectory() as folder:
        for name, url in urls.items():
            if chosen and name not in chosen:
                continue
            print(name, flush=True)
            asyncio.run(fill(url, count))
            operator = f"{folder}/{name}.sock"
            listeners = ["--guest", "127.0.0.1:0", "--operator", f"unix:{operator}"]
            command = [*MDSVC, "serve", "--store", url, *listeners, "--identity", "neutron"]
            settings = {
                "MDSVC_SHARED_SECRET": SECRET,
                "MDSVC_WAIT_SECONDS": str(WAIT_SECONDS),
                "MDSVC_GUEST_CONNECTIONS": "0",
            }
            with server(command, **settings) as served:
                asyncio.run(measure(served, url, operator, count))


if __name__ == "__main__":
    guests, *names = sys.argv[1:] or ["1000"]
    main(int(guests), *names)
