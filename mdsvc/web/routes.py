"""Where the page's views are, and for how long each may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import NamedTuple

from aiohttp import web

from mdsvc.access import Access
from mdsvc.access.sessions import COOKIE
from mdsvc.api.boundary import meet_expectation, refused
from mdsvc.api.events import follow_events
from mdsvc.api.route import EVENTS, Call
from mdsvc.api.streams import Streams
from mdsvc.errors import Unavailable
from mdsvc.web import changes, host, hosts, instance, instances, login, what_if
from mdsvc.web.assets import KINDS, content_of
from mdsvc.web.door import HEADERS, Door, View, shown
from mdsvc.web.frame import EVENTS_PATH
from mdsvc.web.rows import Rows

READING_SECONDS = 3
FITTING_SECONDS = 10


class _Row(NamedTuple):
    """A view; in how many seconds its page is there, or one that says it is not."""

    view: View
    seconds: float
    methods: tuple[str, ...] = ("GET",)


def _views(rows: Rows) -> Mapping[str, _Row]:
    return {
        "/": _Row(partial(hosts.show_hosts, rows), READING_SECONDS),
        "/hosts/{name}": _Row(host.show_host, READING_SECONDS),
        "/instances": _Row(instances.show_instances, READING_SECONDS),
        "/instances/{uuid}": _Row(instance.show_instance, READING_SECONDS),
        "/what-if": _Row(what_if.show_what_if, FITTING_SECONDS, ("GET", "POST")),
        "/changes": _Row(changes.show_changes, READING_SECONDS),
    }


def add_page(app: web.Application, door: Door) -> None:
    """Have the operator's application serve the page too."""
    streams = Streams()

    async def end(_app: web.Application) -> None:
        await streams.end()

    app.on_shutdown.append(end)
    for path, (view, seconds, methods) in _views(Rows(door.backend.store)).items():
        handler = shown(door, view, seconds)
        resource = app.router.add_resource(path)
        for method in (*methods, "HEAD"):
            resource.add_route(method, handler, expect_handler=meet_expectation)
    app.router.add_get("/login", partial(login.show_login, door))
    app.router.add_post("/login", partial(login.log_in, door), expect_handler=meet_expectation)
    app.router.add_post("/logout", login.log_out, expect_handler=meet_expectation)
    app.router.add_get(EVENTS_PATH, partial(_events, door, streams))
    for name in KINDS:
        app.router.add_get(f"/assets/{name}", partial(_asset, name))


async def _events(door: Door, streams: Streams, request: web.Request) -> web.StreamResponse:
    """The API's events, for whoever has a session, and for as long as they have it."""
    try:
        async with asyncio.timeout(READING_SECONDS):
            door.check_host(request)
            await door.caller(request)
    except TimeoutError:
        return refused(request, Unavailable(f"no answer within {READING_SECONDS} s"))
    except Exception as error:  # noqa: BLE001  # the script is told in the API's way
        return refused(request, error)
    call = Call(backend=door.backend, path={}, query=None, body=None, headers=request.headers)
    answer = await follow_events(call)
    check = partial(_check, door.backend.access, request.cookies.get(COOKIE, ""))
    assert isinstance(answer.body, AsyncIterator)
    return await streams.send(request, EVENTS, answer.body, check)


async def _check(access: Access, cookie: str) -> None:
    await access.visitor(cookie)


async def _asset(name: str, request: web.Request) -> web.Response:
    """Nothing secret, so nobody is asked for a token. Its address changes with it."""
    headers = {
        **HEADERS,
        "Content-Type": KINDS[name],
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    response = web.Response(body=content_of(name), headers=headers)
    response.enable_compression()
    return response
