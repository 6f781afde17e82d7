"""Answers without an end: kept alive, dropped where the client does not read, ended at shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress

from aiohttp import web

from mdsvc.api.boundary import request_id
from mdsvc.errors import Unavailable, Unidentified

TICK_SECONDS = 1
"""How often it is looked whether whoever reads may still do so."""

HEARTBEAT_SECONDS = 15
SLOW_SECONDS = 10
"""For how long a client may leave the socket's buffers full."""

_HEARTBEAT = b":\n\n"

_log = logging.getLogger("mdsvc.api")


class Streams:
    """The streams of one listener."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(
        self,
        request: web.Request,
        kind: str,
        parts: AsyncIterator[bytes],
        check: Callable[[], Awaitable[object]],
    ) -> web.StreamResponse:
        """Answer with these parts until one side ends it. ``check`` raises Unidentified where the
        client may read no further.
        """
        response = web.StreamResponse(headers={"Content-Type": kind, "X-Accel-Buffering": "no"})
        response.force_close()
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        task = asyncio.create_task(_copy(request, response, parts, check))
        self._tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await task
        finally:
            task.cancel()
            self._tasks.discard(task)
        return response

    async def end(self) -> None:
        """End them all."""
        for task in self._tasks:
            task.cancel()


async def _copy(
    request: web.Request,
    response: web.StreamResponse,
    parts: AsyncIterator[bytes],
    check: Callable[[], Awaitable[object]],
) -> None:
    try:
        async with aclosing(_paced(parts, check)) as paced:
            async for part in paced:
                async with asyncio.timeout(SLOW_SECONDS):
                    await response.write(part)
    except TimeoutError:
        _log.info("%s is dropped: it does not read [%s]", request.path, request_id(request))
        if request.transport:
            request.transport.abort()
    except ConnectionError:
        pass  # the client has gone


async def _paced(
    parts: AsyncIterator[bytes], check: Callable[[], Awaitable[object]]
) -> AsyncGenerator[bytes, None]:
    """The parts as they come, and heartbeats where none does, for as long as it may be read on."""
    upcoming, silent = asyncio.ensure_future(_next(parts)), 0.0
    try:
        while True:
            await asyncio.wait({upcoming}, timeout=TICK_SECONDS)
            if not await _may_read_on(check):
                return
            silent += TICK_SECONDS
            if upcoming.done():
                part, silent = upcoming.result(), 0.0
                upcoming = asyncio.ensure_future(_next(parts))
                yield part
            elif silent >= HEARTBEAT_SECONDS:
                silent = 0.0
                yield _HEARTBEAT
    finally:
        upcoming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await upcoming


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    return await anext(parts)


async def _may_read_on(check: Callable[[], Awaitable[object]]) -> bool:
    try:
        await check()
    except Unidentified:
        return False
    except Unavailable:
        pass  # nothing comes of a store that does not answer
    return True
