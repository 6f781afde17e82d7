"""The operator's door: its application, made of the table of routes. A handler is: body, one use
case, answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from aiohttp import web

from mdsvc.access import Access
from mdsvc.access.addressed import check_host
from mdsvc.api.boundary import CALLER, boundary, prepare
from mdsvc.api.dispatch import serve
from mdsvc.api.route import Backend
from mdsvc.api.routes import ROUTES
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store

__all__ = ["ROUTES", "application"]


def application(
    store: Store, access: Access, unknown_keys: UnknownKeys = "warn", names: Collection[str] = ()
) -> web.Application:
    """The table on this store. ``names`` are what the listener is called beside its address."""
    backend = Backend(store, ROUTES, unknown_keys)
    app = web.Application(middlewares=[boundary, _door(access, names)])
    for route in ROUTES:
        handler = partial(serve, backend, route)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, handler)
        if route.method == "GET":
            resource.add_route("HEAD", handler)
    app.on_response_prepare.append(prepare)

    async def close(_app: web.Application) -> None:
        await access.close()

    app.on_cleanup.append(close)
    return app


def _door(access: Access, names: Collection[str]) -> Any:
    """Who may ask, of what is there. Probes always may."""
    is_open = {route.path for route in ROUTES if route.is_open}

    @web.middleware
    async def door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        is_there = request.match_info.http_exception is None
        if is_there and request.path not in is_open:
            address = request.transport and request.transport.get_extra_info("sockname")
            check_host(request.headers.get("Host"), address, names)
            request[CALLER] = await access.caller(request.headers)
        return await handler(request)

    return door
