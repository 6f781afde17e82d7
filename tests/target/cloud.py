"""A cloud that answers as Keystone and Nova's API do, as far as the target asks, and misbehaves."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]

PROJECT = "8f2c7b1d9a6e4d35b0c1f2e3d4a59687"
MIXED = "00000000-0000-4000-8000-000000000001"
PLAIN = "00000000-0000-4000-8000-000000000002"
FLAVOR = {
    "original_name": "m.mixed",
    "vcpus": 4,
    "ram": 512,
    "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1-3"},
}
NODE = {
    "vcpu_set": [0, 1, 2, 3],
    "siblings": [],
    "memory_mb": 512,
    "host_node": 1,
    "cpu_pinning": {"1": 6, "2": 7, "3": 5},
}


def question(uuid: str = MIXED, project: str = PROJECT, **more: Any) -> Json:
    """Nova 34's, as captured."""
    return {
        "project-id": project,
        "instance-id": uuid,
        "image-id": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
        "user-data": None,
        "hostname": "dpdk-0",
        "metadata": {},
        "boot-roles": "reader,member",
        **more,
    }


class FakeCloud:
    """Its servers, each with its topology; whose tokens are good; and what was asked of it.

    ``validates``: whether it knows of tokens itself, or takes any, beside a real Keystone.
    """

    def __init__(self, *, validates: bool = True) -> None:
        self.servers: dict[str, tuple[Json, Json]] = {}
        self.tokens: dict[str, Json] = {}
        self.requests: Counter[str] = Counter()
        self.ours = 0
        self.status: dict[str, int] = {}
        self.hang: dict[str, asyncio.Event] = {}
        self.bodies: dict[str, bytes] = {}
        self.port = 0
        self._validates = validates
        self.add(MIXED, FLAVOR, NODE)
        self.add(PLAIN, {"original_name": "s", "vcpus": 2, "ram": 64, "extra_specs": {}})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, uuid: str, flavor: Json, *nodes: Json) -> None:
        server = {"id": uuid, "name": "n", "tenant_id": PROJECT, "flavor": flavor}
        self.servers[uuid] = server, {"nodes": list(nodes), "pagesize_kb": None}

    def token(self, name: str, *roles: str, seconds: float = 3600) -> str:
        """A token that is good for so long."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        expires_at = end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.tokens[name] = {"expires_at": expires_at, "roles": [{"name": role} for role in roles]}
        return name

    async def start(self, port: int = 0) -> Self:
        app = web.Application(middlewares=[self._misbehave])
        app.router.add_get("/v3", self._version)
        app.router.add_post("/v3/auth/tokens", self._login)
        app.router.add_get("/v3/auth/tokens", self._token)
        app.router.add_get("/compute/servers/{id}", self._server)
        app.router.add_get("/compute/servers/{id}/topology", self._topology)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port or self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        for event in self.hang.values():
            event.set()
        await self._runner.cleanup()

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        part = "keystone" if request.path.startswith("/v3") else "nova"
        self.requests[part] += 1
        self.requests[f"{request.method} {request.path}"] += 1
        if part in self.hang:
            await self.hang[part].wait()
        if part in self.status:
            body = self.bodies.get(part, b"")
            return web.Response(
                status=self.status[part], body=body, content_type="application/json"
            )
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": {"id": "v3.14"}})

    async def _login(self, _request: web.Request) -> web.Response:
        self.ours += 1
        end = [{"interface": "public", "region_id": "r1", "url": f"{self.url}/compute"}]
        body = {"token": {"catalog": [{"type": "compute", "endpoints": end}]}}
        return web.json_response(body, status=201, headers={"X-Subject-Token": f"ours-{self.ours}"})

    def _check(self, request: web.Request) -> None:
        if self._validates and request.headers.get("X-Auth-Token") != f"ours-{self.ours}":
            raise web.HTTPUnauthorized
        if not request.headers.get("X-Auth-Token"):
            raise web.HTTPUnauthorized

    async def _token(self, request: web.Request) -> web.Response:
        self._check(request)
        token = self.tokens.get(request.headers["X-Subject-Token"])
        if token is None:
            raise web.HTTPNotFound
        return web.json_response({"token": token})

    async def _server(self, request: web.Request) -> web.Response:
        return self._of(request, lambda server, _topology: {"server": server})

    async def _topology(self, request: web.Request) -> web.Response:
        return self._of(request, lambda _server, topology: topology)

    def _of(self, request: web.Request, part: Any) -> web.Response:
        self._check(request)
        if request.headers.get("OpenStack-API-Version") != "compute 2.78":
            raise web.HTTPNotAcceptable
        if request.match_info["id"] not in self.servers:
            raise web.HTTPNotFound
        return web.json_response(part(*self.servers[request.match_info["id"]]))
