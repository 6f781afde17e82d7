"""A server of the operator's door, in a thread of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from aiohttp import web

from mdsvc.app import operator_app
from mdsvc.settings import Settings
from mdsvc.store.following import Follower
from mdsvc.store.opening import open_store

T = TypeVar("T")


class Serving:
    """Serves the store of a URL; ``stop`` it in the end."""

    def __init__(self, store: str, socket: Path | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = self._run(self._start(store, socket))

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self, url: str, socket: Path | None) -> str:
        self._store = await open_store(url)
        app = operator_app(self._store, Settings(), Follower(self._store), is_local=True)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        if socket is not None:
            await web.UnixSite(self._runner, str(socket)).start()
            return f"unix:{socket}"
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._store.close()
