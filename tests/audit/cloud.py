"""A cloud that answers as Keystone and Nova 34 do, as far as the audit asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Json = dict[str, Any]

TOKEN = "gAAAAAB-token"
PAGE = 2


class FakeCloud:
    """Its servers, each with its topology; and what it was asked to authenticate with."""

    def __init__(self) -> None:
        self.servers: dict[str, tuple[Json, Json]] = {}
        self.seen: list[Json] = []
        self.gone: set[str] = set()
        self.good = 10**9
        self.admin = True
        self.url = ""

    def add(
        self, number: int, name: str, host: str, specs: Mapping[str, str], *nodes: Json
    ) -> None:
        """A server with these nodes, as `GET /servers/{id}/topology` has them."""
        uuid = f"00000000-0000-4000-8000-{number:012}"
        vcpus = sum(len(node["vcpu_set"]) for node in nodes) or 2
        flavor = {"original_name": "m", "vcpus": vcpus, "ram": 512, "extra_specs": dict(specs)}
        server = {"id": uuid, "name": name, "tenant_id": "p", "flavor": flavor}
        hosted = server | {"OS-EXT-SRV-ATTR:host": host}
        self.servers[uuid] = hosted, {"nodes": list(nodes), "pagesize_kb": None}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v3/auth/tokens", self._tokens)
        app.router.add_get("/compute/servers/detail", self._detail)
        app.router.add_get("/compute/servers/{id}/topology", self._topology)
        return app

    async def _tokens(self, request: web.Request) -> web.Response:
        auth = (await request.json())["auth"]
        self.seen.append(auth)
        (how,) = [auth["identity"][method] for method in auth["identity"]["methods"]]
        if "right" not in (how.get("secret"), how.get("user", {}).get("password")):
            return web.json_response({"error": {"code": 401}}, status=401)
        endpoints = [
            {"interface": "internal", "region_id": "r1", "url": "http://127.0.0.1:9"},
            {"interface": "public", "region_id": "r1", "url": f"{self.url}/compute/"},
        ]
        catalog = [{"type": "compute", "endpoints": endpoints}, {"type": "image", "endpoints": []}]
        body = {"token": {"catalog": catalog}}
        return web.json_response(
            body, status=201, headers={"X-Subject-Token": f"{TOKEN}-{len(self.seen)}"}
        )

    def _check(self, request: web.Request) -> None:
        self.good -= 1
        token = f"{TOKEN}-{len(self.seen)}"
        if request.headers.get("X-Auth-Token") != token or self.good == 0:
            self.seen.append({})  # that one is over
            raise web.HTTPUnauthorized
        if request.headers.get("OpenStack-API-Version") != "compute 2.78":
            raise web.HTTPNotAcceptable

    async def _detail(self, request: web.Request) -> web.Response:
        """Two on a page, as a cloud may have fewer of them on one than were asked for."""
        self._check(request)
        uuids = [uuid for uuid in sorted(self.servers) if uuid > request.query.get("marker", "")]
        page = [self.servers[uuid][0] for uuid in uuids[:PAGE]]
        if not self.admin:
            page = [{k: v for k, v in server.items() if ":" not in k} for server in page]
        more = {"servers_links": [{"rel": "next", "href": "…"}]} if len(uuids) > PAGE else {}
        return web.json_response({"servers": page} | more)

    async def _topology(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.match_info["id"] in self.gone:
            raise web.HTTPNotFound
        return web.json_response(self.servers[request.match_info["id"]][1])


def node(
    host_node: int, vcpus: list[int], pinning: Mapping[int, int], memory_mb: int = 512
) -> Json:
    return {
        "vcpu_set": vcpus,
        "siblings": [],
        "memory_mb": memory_mb,
        "host_node": host_node,
        "cpu_pinning": {str(vcpu): pcpu for vcpu, pcpu in pinning.items()},
    }


@contextmanager
def running() -> Iterator[FakeCloud]:
    """A cloud on loopback, in a thread of its own."""
    cloud, ready, loop = FakeCloud(), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(cloud.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        cloud.url = f"http://127.0.0.1:{port}"
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(60)
    try:
        yield cloud
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
