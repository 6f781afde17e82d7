"""A small closed-loop HTTP load: so many connections, one request under way on each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from typing_extensions import override

WARM_SECONDS = 0.3
SECONDS = 2
CONNECTIONS = 32


class Rate(NamedTuple):
    """What a server has answered: requests per second, and its CPU time for each in µs."""

    answers: float
    microseconds: float


class _Connection(asyncio.Protocol):
    """Sends the same request again as soon as its answer is complete."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._left = -1
        self._head = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._load.connections.add(self)
        transport.write(self._load.request)

    @override
    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._left, data, self._head = int(length), body, b""
        self._left -= len(data)
        if not self._left:
            self._left = -1
            self._load.answers += 1
            if self._load.kept:
                self.transport.write(self._load.request)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._load.connections.discard(self)
        self._load.lost()


class _Load:
    """All connections to one server."""

    def __init__(self, port: int, request: bytes, kept: bool) -> None:
        self.port = port
        self.request = request
        self.kept = kept
        self.answers = 0
        self.connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)

    def lost(self) -> None:
        """The server has closed a connection, as it was asked to: the next one."""
        if not self._is_over:
            task = asyncio.ensure_future(self.connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        self._is_over = True
        for connection in list(self.connections):
            connection.transport.abort()


def request_of(path: str, headers: Mapping[str, str], kept: bool) -> bytes:
    """The bytes of a GET; without ``kept``, the server is to close the connection."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [] if kept else ["Connection: close"]
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 169.254.169.254", *lines, "", ""]).encode()


async def _load(load: _Load, pid: int, seconds: float, connections: int) -> Rate:
    await asyncio.gather(*(load.connect() for _ in range(connections)))
    await asyncio.sleep(WARM_SECONDS)
    answers, cpu, start = load.answers, cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    answers, cpu = load.answers - answers, cpu_seconds(pid) - cpu
    passed = time.perf_counter() - start
    load.end()
    await asyncio.sleep(0)
    return Rate(answers / passed, 1e6 * cpu / answers)


def rate(port: int, pid: int, request: bytes, kept: bool = True) -> Rate:
    """Of the server of that process and its children, on that port of loopback."""
    return asyncio.run(_load(_Load(port, request, kept), pid, SECONDS, CONNECTIONS))


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its children so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(_cpu_seconds, (pid, *map(int, children))))


def _cpu_seconds(pid: int) -> float:
    """By the scheduler's clock, which is finer than the ticks of /proc/PID/stat."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(float(task.read_text().split()[0]) for task in tasks) / 1e9
