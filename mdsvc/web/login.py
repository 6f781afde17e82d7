"""Beginning a session with a token, and ending it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from aiohttp import web

from mdsvc.access import HOW_TO
from mdsvc.access.sessions import set_cookie
from mdsvc.errors import Unavailable, Unidentified
from mdsvc.web.door import HEADERS, Door, form_of, respond, wrong
from mdsvc.web.markup import h
from mdsvc.web.visit import Page

_SECONDS = 3

_OUR_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")
"""A path of this server: ``//`` and ``/\\`` would lead to another one."""


async def show_login(door: Door, request: web.Request) -> web.Response:
    """The form."""
    try:
        door.check_host(request)
    except Exception as error:  # noqa: BLE001  # as all that is wrong with a view
        return wrong(error, request, None)
    return respond(_login(_next(request.query.get("next", ""))), request, None)


async def log_in(door: Door, request: web.Request) -> web.Response:
    """A session for whoever has sent a token that is one."""
    try:
        async with asyncio.timeout(_SECONDS):
            door.check_host(request)
            form = await form_of(request)
            return await _logged_in(door, request, form)
    except TimeoutError:
        return wrong(Unavailable(f"no answer within {_SECONDS} s"), request, None)
    except Exception as error:  # noqa: BLE001  # as all that is wrong with a view
        return wrong(error, request, None)


async def _logged_in(door: Door, request: web.Request, form: Mapping[str, str]) -> web.Response:
    where = _next(form.get("next", ""))
    try:
        cookie = await door.backend.access.log_in(form.get("token", ""))
    except Unidentified as error:
        return respond(_login(where, str(error)), request, None)
    return _to(where, set_cookie(cookie, request.secure))


async def log_out(request: web.Request) -> web.Response:
    """The cookie is forgotten. Whoever has copied it has it until it is over, or its token is."""
    return _to("/login", set_cookie("", request.secure))


def _to(where: str, cookie: str) -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "Location": where, "Set-Cookie": cookie})


def _next(where: str) -> str:
    return where if _OUR_PATH.fullmatch(where) else "/"


def _login(where: str, wrong_with_it: str | None = None) -> Page:
    field = h(
        "input",
        type="password",
        name="token",
        id="token",
        required=True,
        autocomplete="current-password",
        aria_describedby="how",
        autofocus=True,
    )
    fault = h("p", wrong_with_it, class_="problem", role="alert") if wrong_with_it else None
    form = h(
        "form",
        h("label", "Token", for_="token"),
        field,
        h("input", type="hidden", name="next", value=where),
        h("button", "Log in", type="submit"),
        method="post",
        action="/login",
        class_="login",
    )
    how = h(
        "p", f"No token? {HOW_TO}. The page only reads, and asks again after 12 hours.", id="how"
    )
    content = (h("h1", "Log in"), *((fault,) if fault else ()), form, how)
    status = 401 if wrong_with_it else 200
    return Page(title="Log in", content=content, status=status, is_live=False)
