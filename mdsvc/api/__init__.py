"""The operator's door: its application, made of the table of routes. A handler is: body, one use
case, answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from aiohttp import web

from mdsvc.access.addressed import check_host
from mdsvc.api.boundary import CALLER, boundary, meet_expectation, prepare, told_of_changes
from mdsvc.api.dispatch import serve
from mdsvc.api.route import Backend
from mdsvc.api.routes import ROUTES
from mdsvc.api.streams import Streams

__all__ = ["ROUTES", "Backend", "application"]


def application(backend: Backend, names: Collection[str] = ()) -> web.Application:
    """Its routes. ``names`` are what the listener is called beside its address."""
    streams = Streams()
    app = web.Application(middlewares=[told_of_changes, boundary, _door(backend, names)])
    for route in backend.routes:
        handler = partial(serve, backend, streams, route)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, handler, expect_handler=meet_expectation)
        if route.method == "GET":
            resource.add_route("HEAD", handler)
    app.on_response_prepare.append(prepare)

    async def end(_app: web.Application) -> None:
        await streams.end()

    async def close(_app: web.Application) -> None:
        await backend.access.close()

    app.on_shutdown.append(end)
    app.on_cleanup.append(close)
    return app


def _door(backend: Backend, names: Collection[str]) -> Any:
    """Who may ask, of what the table has. Probes always may, and the page has a door of its own."""
    guarded = {route.path for route in backend.routes if not route.is_open}

    @web.middleware
    async def door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource and resource.canonical in guarded:
            address = request.transport and request.transport.get_extra_info("sockname")
            check_host(request.headers.get("Host"), address, names)
            request[CALLER] = await backend.access.caller(request.headers)
        return await handler(request)

    return door
