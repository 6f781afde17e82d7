"""What an operator may ask over HTTP: for now, whether the server lives and is ready."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from mdsvc.errors import BadInput, MethodNotAllowed, NotFound, TooLarge, Unavailable
from mdsvc.forms import to_json
from mdsvc.problems import RETRY_SECONDS, log_fault, problem
from mdsvc.store import Store

Handler = Callable[[Store, web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


async def _healthz(_store: Store, _request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})


async def _readyz(store: Store, _request: web.Request) -> web.StreamResponse:
    try:
        await store.ready()
    except Exception as error:  # whatever a database raises means the same here
        raise Unavailable(f"the store does not answer: {error}") from error
    return web.json_response({"status": "ready"})


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/healthz", _healthz),
    ("GET", "/readyz", _readyz),
)


def application(store: Store) -> web.Application:
    """The table on this store, with the boundary that no error passes."""

    def bound(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def call(request: web.Request) -> web.StreamResponse:
            return await handler(store, request)

        return call

    app = web.Application(middlewares=[_boundary])
    app.add_routes([web.route(method, path, bound(handler)) for method, path, handler in ROUTES])
    return app


@web.middleware
async def _boundary(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever goes wrong is a problem document; what is the server's fault is logged too."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return _problem(request, _ours(request, refusal))
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        return _problem(request, error)


def _ours(request: web.Request, refusal: web.HTTPException) -> Exception:
    """What aiohttp refuses by itself, as an error of ours."""
    match refusal:
        case web.HTTPNotFound():
            return NotFound(f"there is no {request.path}")
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(sorted(refusal.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            return TooLarge(str(refusal.text))
        case _:
            return BadInput(str(refusal.text)) if refusal.status < 500 else refusal


def _problem(request: web.Request, error: Exception) -> web.Response:
    body = problem(error)
    headers = {"Content-Type": "application/problem+json"}
    if body.status >= 500:
        log_fault(_log, f"{request.method} {request.path}", error)
    if body.status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return web.Response(body=to_json(body), status=body.status, headers=headers)
