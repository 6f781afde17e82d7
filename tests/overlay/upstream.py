"""A metadata service like Nova's for tests: it answers, counts, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, Self

from aiohttp import web

from mdsvc.listening.connections import Runner

VERSIONS = "2012-08-10\n2018-08-27\n2020-10-14\n2025-04-04\nlatest"
SEED = "AAEC" * 171
TEXT = "text/plain; charset=UTF-8"
LEAVES = "ami-id\nhostname\ninstance-id\nplacement/\npublic-keys/"


def meta_data(uuid: str, **more: Any) -> bytes:
    """As Nova writes it, its spaces too."""
    document = {"random_seed": SEED, "uuid": uuid, "meta": {"dedicated_cpus": "[9]"}, **more}
    return json.dumps(document).encode()


class FakeNova:
    """``dedicated`` is what it says of every guest; None as before Victoria."""

    def __init__(self, dedicated: Any = None) -> None:
        self.dedicated = dedicated
        self.requests: Counter[tuple[str, str]] = Counter()
        self.headers: list[list[tuple[str, str]]] = []
        self.bodies: list[bytes] = []
        self.targets: list[str] = []
        self.status = 200
        self.instead: bytes | None = None
        self.uuid: str | None = None
        self.hang: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.port = 0
        self._runner: Runner | None = None

    async def start(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:(?s:.*)}", self._answer)
        self._runner = Runner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self.hang:
            self.hang.set()
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        uuid = request.headers.get("X-Instance-ID", "")
        self.requests[uuid, request.path] += 1
        self.headers.append(sorted(request.headers.items()))
        self.bodies.append(await request.read())
        self.targets.append(request.raw_path)
        self.asked.set()
        if self.hang:
            await self.hang.wait()
        status, body, kind = self.said(request.path, self.uuid or uuid)
        return web.Response(status=status, body=body, headers={"Content-Type": kind})

    def said(self, path: str, uuid: str) -> tuple[int, bytes, str]:
        """Status, body and content type."""
        if self.instead is not None or self.status != 200:
            return self.status, self.instead or b"", TEXT
        segments = path.strip("/").split("/")
        status, body, kind = 404, b"<html>not here</html>", "text/html; charset=UTF-8"
        match segments:
            case ["openstack"]:
                status, body, kind = 200, VERSIONS.encode(), TEXT
            case ["openstack", _, "meta_data.json"]:
                told = {} if self.dedicated is None else {"dedicated_cpus": self.dedicated}
                status, body, kind = 200, meta_data(uuid, **told), "application/json"
            case ["openstack", _, "user_data"]:
                status, body, kind = 200, bytes(range(256)), "application/octet-stream"
            case ["openstack", _, "password"]:
                status, body, kind = 200, b"secret", TEXT
            case [_, "meta-data"]:
                status, body, kind = 200, LEAVES.encode(), TEXT
            case [_, "meta-data", "hostname"]:
                status, body, kind = 200, f"host of {uuid}".encode(), TEXT
            case _:
                pass
        return status, body, kind
