"""What an operator may ask over HTTP: for now, whether the server lives and is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from mdsvc.store import Store


async def _healthz(_store: Store, _request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _readyz(store: Store, _request: web.Request) -> web.Response:
    try:
        await store.ready()
    except Exception as error:  # noqa: BLE001  # whatever a database raises means the same here
        reason = {"title": "the store does not answer", "detail": str(error), "status": 503}
        return web.json_response(reason, status=503, content_type="application/problem+json")
    return web.json_response({"status": "ready"})


ROUTES: tuple[tuple[str, str, Callable[[Store, web.Request], Awaitable[web.Response]]], ...] = (
    ("GET", "/healthz", _healthz),
    ("GET", "/readyz", _readyz),
)


def routes(store: Store) -> list[web.RouteDef]:
    """The table as aiohttp's routes, on this store."""

    def bound(
        handler: Callable[[Store, web.Request], Awaitable[web.Response]],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def call(request: web.Request) -> web.Response:
            return await handler(store, request)

        return call

    return [web.route(method, path, bound(handler)) for method, path, handler in ROUTES]
