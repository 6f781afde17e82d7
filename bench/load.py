"""A small closed-loop HTTP load: keep-alive connections, one request under way on each."""

from __future__ import annotations

import asyncio
import time

from typing_extensions import override


class _Connection(asyncio.Protocol):
    """Sends the same request again as soon as its answer is complete."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self._left = -1
        self._head = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

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
            self.answers += 1
            self.transport.write(self.request)


async def _load(port: int, path: str, seconds: float, connections: int) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: _Connection(request), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(0.2)
    before, start = sum(c.answers for c in made), time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (sum(c.answers for c in made) - before) / (time.perf_counter() - start)
    for connection in made:
        connection.transport.abort()
    return rate


def rate(port: int, path: str, seconds: float = 2.0, connections: int = 32) -> float:
    """Requests per second that the server on that port of loopback answers."""
    return asyncio.run(_load(port, path, seconds, connections))
