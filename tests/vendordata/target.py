"""A service of the operator's for tests: it answers, counts, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from mdsvc.listening.connections import Runner


class FakeTarget:
    """``answer`` is its body, or what makes one of a request; ``headers`` and ``bodies`` are those
    that it was sent.
    """

    def __init__(self) -> None:
        self.status = 200
        self.answer: Any = {"said": "so"}
        self.location: str | None = None
        self.hang: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.url = ""
        self._runner: Runner | None = None

    @property
    def count(self) -> int:
        return len(self.bodies)

    async def start(self, context: ssl.SSLContext | None = None) -> FakeTarget:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = Runner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        port = self._runner.addresses[0][1]
        self.url = f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}"
        return self

    async def stop(self) -> None:
        if self.hang:
            self.hang.set()
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.paths.append(f"{request.method} {request.path_qs}")
        self.bodies.append(json.loads(await request.read()))
        self.asked.set()
        if self.hang:
            await self.hang.wait()
        if self.location and request.path != "/elsewhere":
            return web.Response(status=self.status, headers={"Location": self.location})
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        status = 200 if request.path == "/elsewhere" else self.status
        return web.Response(status=status, body=body)
