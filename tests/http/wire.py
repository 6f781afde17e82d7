"""A guest's HTTP client that sends what it is told to, byte for byte, and mends nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

Headers = Sequence[tuple[str, str]]

CLOSE = b"Host: metadata\r\nConnection: close\r\n"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def type(self) -> str | None:
        return self.headers["Content-Type"]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One server to ask; a new connection for each request, as guests do it."""

    def __init__(self, port: int, host: str = "metadata") -> None:
        self.port = port
        self.host = host

    async def __call__(
        self,
        target: str,
        headers: Headers = (),
        *,
        method: str = "GET",
        body: bytes | None = None,
        peer: str | None = None,
    ) -> Reply:
        """Send one request, from the address ``peer`` where that is given.

        Text goes out as Latin-1, so that every byte can be written.
        """
        sized = [("Content-Length", str(len(body)))] if body is not None else []
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {v}" for name, v in (*headers, *sized))]
        lines += [f"Host: {self.host}", "Connection: close", "", ""]
        return await self.send("\r\n".join(lines).encode("latin-1") + (body or b""), peer)

    async def send(self, request: bytes, peer: str | None = None) -> Reply:
        """Send these bytes, and read until the server closes."""
        local = (peer, 0) if peer else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=local)
        try:
            writer.write(request)
            return parse(await reader.read())
        finally:
            writer.close()
            await writer.wait_closed()


def parse(reply: bytes) -> Reply:
    head, _, body = reply.partition(b"\r\n\r\n")
    status, _, headers = head.partition(b"\r\n")
    return Reply(int(status.split()[1]), BytesHeaderParser().parsebytes(headers), body)
