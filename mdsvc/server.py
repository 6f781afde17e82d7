"""Running the server: listeners up, word that it is ready, and a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from mdsvc.app import guest_app, open_store, operator_app
from mdsvc.listening.connections import Runner
from mdsvc.listening.sockets import Listen, listen
from mdsvc.settings import Settings
from mdsvc.store import Store
from mdsvc.store.following import Follower
from mdsvc.waiting import Waiting

_IDLE_SECONDS = 15
"""How long a silent connection, or one with a slow header, is kept."""

_SHUTDOWN_SECONDS = 1
"""For how long a guest's request may go on after SIGTERM; aiohttp waits twice as long in all."""

_log = logging.getLogger(__name__)


async def serve(settings: Settings, ready: Callable[[list[str]], None]) -> None:
    """Run until SIGTERM or SIGINT. ``ready`` is called with a line for each listener."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        store = await open_store(settings.store)
        stack.push_async_callback(store.close)
        lines = await stack.enter_async_context(listeners(settings, store))
        ready(lines)
        _notify("READY=1")
        await stop.wait()
        _notify("STOPPING=1")


@asynccontextmanager
async def listeners(settings: Settings, store: Store) -> AsyncIterator[list[str]]:
    """The guests' listeners and the operator's, answering; gives a line for each."""
    lines = []
    async with AsyncExitStack() as stack:
        follower, waiting = Follower(store, settings.poll_seconds), Waiting()
        follower.tell(waiting)
        await stack.enter_async_context(follower.running())
        guests = await _runner(stack, guest_app(store, settings, waiting))
        for text in settings.guest:
            sock = listen(Listen.parse(text), settings.netns)
            lines.append(f"guests: http://{await _site(guests, sock)} ({settings.identity})")
        operator = await _runner(stack, operator_app(store))
        sock = listen(Listen.parse(settings.operator))
        lines.append(f"operator: http://{await _site(operator, sock)}")
        stack.callback(waiting.close)
        yield lines


async def _runner(stack: AsyncExitStack, app: web.Application) -> Runner:
    runner = Runner(
        app,
        keepalive_timeout=_IDLE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        auto_decompress=False,  # a password is kept as it was sent
        access_log=logging.getLogger("mdsvc.access"),
        access_log_format='%a "%r" %s %b %Tf',
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


async def _site(runner: Runner, sock: socket.socket) -> Listen:
    await web.SockSite(runner, sock).start()
    address, port = sock.getsockname()[:2]
    return Listen(address, port)


def _notify(state: str) -> None:
    """Tell systemd, where it asked to be told (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        address = "\0" + path[1:] if path.startswith("@") else path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("NOTIFY_SOCKET: %s cannot be told %s: %s", path, state, error)
