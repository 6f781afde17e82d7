"""The page's door: who may look, and what they are shown where something is wrong.

It is told who is there by the cookie of a session, which the API does not take. Whatever goes wrong
is a page that says so, with the status that the API has for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web

from mdsvc.access import Caller
from mdsvc.access.addressed import check_host
from mdsvc.access.sessions import COOKIE
from mdsvc.api.boundary import request_id
from mdsvc.api.route import Backend
from mdsvc.errors import BadInput, NotFound, TooLarge, Unavailable, Unidentified
from mdsvc.forms import check_plain
from mdsvc.problems import log_fault, problem, retry_seconds
from mdsvc.web.frame import framed
from mdsvc.web.markup import h
from mdsvc.web.readiness import Readiness
from mdsvc.web.visit import Page, Visit

View = Callable[[Visit], Awaitable[Page]]

_MOST = 256 * 1024
"""Bytes of a form."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{what}-src 'self'" for what in ("script", "style", "img", "connect")),
        *(f"{what} 'none'" for what in ("base-uri", "frame-ancestors")),
        "form-action 'self'",
    )
)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Of all that the page sends."""

_log = logging.getLogger("mdsvc.web")


class Door(msgspec.Struct, frozen=True):
    """Who may pass: ``names`` are what the listener is called beside its address."""

    backend: Backend
    readiness: Readiness
    names: Collection[str] = ()

    def check_host(self, request: web.Request) -> None:
        """Raises Forbidden where the request calls the listener something else."""
        address = request.transport and request.transport.get_extra_info("sockname")
        check_host(request.headers.get("Host"), address, self.names)

    async def caller(self, request: web.Request) -> Caller:
        """Whose session it is. Raises Unidentified."""
        return await self.backend.access.visitor(request.cookies.get(COOKIE, ""))


async def show(door: Door, view: View, seconds: float, request: web.Request) -> web.StreamResponse:
    """A view's page, within so many seconds, or one that says what is wrong."""
    caller: Caller | None = None
    try:
        async with asyncio.timeout(seconds):
            door.check_host(request)
            caller = await door.caller(request)
            page = await view(await _visit(door, caller, request))
            fault = await door.readiness.fault()
            return respond(_with_fault(page, fault) if fault else page, request, caller)
    except Unidentified:
        where = request.path_qs if request.method in ("GET", "HEAD") else request.path
        login = f"/login?{urlencode({'next': where})}"
        return web.Response(status=303, headers={**HEADERS, "Location": login})
    except TimeoutError:
        late = Unavailable(f"the store has not answered within {seconds:g} s")
        return wrong(late, request, caller)
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        return wrong(error, request, caller)


def _with_fault(page: Page, fault: str) -> Page:
    """The page, with what is wrong with the store on top; it is looked at again in a moment."""
    text = f"Nothing can be changed now, and this may be out of date: {fault}."
    told = h("p", text, class_="problem", role="alert", data_again=True)
    return msgspec.structs.replace(page, content=(told, *page.content))


async def _visit(door: Door, caller: Caller, request: web.Request) -> Visit:
    try:
        check_plain(dict(request.match_info))
    except BadInput:
        raise NotFound("there is no such page") from None
    return Visit(
        backend=door.backend,
        caller=caller,
        path=dict(request.match_info),
        query={key: value for key, value in request.query.items() if value},
        form=await form_of(request),
    )


async def form_of(request: web.Request) -> Mapping[str, str]:
    """What a form sent, and nothing where none did. Raises TooLarge and BadInput."""
    if request.method != "POST":
        return {}
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST:
            raise TooLarge(f"expected a form of at most {_MOST} bytes")
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=20)
    except ValueError:
        raise BadInput("expected a form's fields, as a browser sends them") from None
    return dict(pairs)


def respond(page: Page, request: web.Request, caller: Caller | None) -> web.Response:
    """The page as it goes out."""
    body = framed(page, request.path, caller)
    headers = {**HEADERS, "Content-Type": "text/html; charset=utf-8", "Vary": "Cookie"}
    response = web.Response(
        body=body, status=page.status, headers=headers, zlib_executor_size=32 * 1024
    )
    response.enable_compression()
    return response


def wrong(error: Exception, request: web.Request, caller: Caller | None) -> web.Response:
    """The page that says what is wrong."""
    told = problem(error, request_id(request))
    if told.status >= 500:
        log_fault(_log, f"{request.method} {request.path}", error, request_id(request))
    again = h("p", "Nothing is lost. Look again in a moment: this page does it by itself.")
    refresh = retry_seconds(error) if told.status == 503 else None
    content = (
        h("h1", told.title),
        h("p", told.detail, class_="problem", role="alert"),
        *((again,) if refresh else ()),
        h("p", f"Request {request_id(request)}", class_="aside"),
    )
    page = Page(
        title=told.title, content=content, status=told.status, is_live=False, refresh=refresh
    )
    response = respond(page, request, caller)
    if refresh:
        response.headers["Retry-After"] = str(refresh)
    return response


def shown(
    door: Door, view: View, seconds: float
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A view as what aiohttp calls."""
    return partial(show, door, view, seconds)
