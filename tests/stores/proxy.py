"""A wire to a database server that can be cut at a chosen moment."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """Passes bytes on, until it is cut."""

    def __init__(self, port: int) -> None:
        self.leads_to = port
        self.cuts = 0
        self._text = b""
        self._passes = 0
        self._before = False

    def cut(self, text: bytes, *, nth: int = 1, before: bool = False) -> None:
        """Be cut when that text passes for the nth time: before it has reached the server, or once
        that has answered, and nobody has heard.
        """
        self._text, self._passes, self._before = text, nth, before

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.leads_to)
        except OSError:
            writer.close()
            return
        answers = asyncio.create_task(_pass(theirs, writer))
        while data := await reader.read(65536):
            if self._is_cut_by(data):
                await _end(answers)
                if not self._before:
                    ours.write(data)
                    await theirs.read(65536)
                break
            ours.write(data)
        await _end(answers)
        for side in (writer, ours):
            side.close()
            with suppress(OSError):
                await side.wait_closed()

    def _is_cut_by(self, data: bytes) -> bool:
        if self._passes == 0 or self._text not in data:
            return False
        self._passes -= 1
        self.cuts += self._passes == 0
        return self._passes == 0


async def _pass(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()  # the server has gone


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[tuple[Wire, int]]:
    """A wire, and the port where it begins."""
    wire = Wire(port)
    passing: set[asyncio.Task[None]] = set()

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        passing.add(asyncio.create_task(wire.connected(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield wire, server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.gather(*passing, return_exceptions=True)  # whoever is connected has ended by now
