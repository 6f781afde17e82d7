"""Answering at the listeners of network namespaces, which come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mdsvc.listening.connections import Runner
from mdsvc.listening.sockets import near

if TYPE_CHECKING:  # what they import takes long
    from mdsvc.listening.namespace import Listener
    from mdsvc.listening.namespaces import Namespaces


class _NamespaceDoor:
    """The ``Door`` of one listener."""

    def __init__(self, namespaces: Namespaces, listener: Listener) -> None:
        self.network = listener.namespace.network
        self.is_open = True
        self._namespaces = namespaces
        self._listener = listener

    async def mac(self, ip: str) -> str | None:
        return await self._namespaces.mac(self._listener, ip)


@asynccontextmanager
async def answering(namespaces: Namespaces, runner: Runner) -> AsyncIterator[None]:
    """Answer at their listeners; the block begins when that is so at those that are there.

    With a namespace its connections end: nobody can ask by them any more, and they would keep it
    in being. At the end of the block nobody new is let in; what is under way is the runner's.
    """
    servers: dict[Listener, tuple[_NamespaceDoor, asyncio.Server]] = {}

    async def follow() -> None:
        async for listener, is_open in namespaces.changes():
            if is_open:
                door = _NamespaceDoor(namespaces, listener)
                near(listener.sock, runner.reply_ttl)
                servers[listener] = door, await runner.open(door, listener.sock)
            elif listener in servers:
                door, server = servers.pop(listener)
                door.is_open = False
                await _close(server, listener)
                runner.abort(door)

    following = asyncio.create_task(follow())
    try:
        await namespaces.caught_up()
        yield
    finally:
        namespaces.stop_changes()
        await following
        for listener, (_, server) in servers.items():
            await _close(server, listener)


async def _close(server: asyncio.Server, listener: Listener) -> None:
    """Whoever has just been accepted is on the way to a server that has to be there still."""
    if asyncio.get_running_loop().remove_reader(listener.sock):
        await asyncio.sleep(0)
    server.close()
