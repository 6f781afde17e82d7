"""What a guest may ask, over HTTP: documents, and what it may leave: its password, and reports.

A guest behind Neutron's agent gets no other status than 200, 400, 403, 404, 409 and 503, as the
agent turns others into its own failure; a guest that asks directly also gets 304 and 405.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from aiohttp import web

from mdsvc.documents import JSON, TEXT, Answer, Documents, Path, joined
from mdsvc.errors import BadInput, Conflict, NotFound
from mdsvc.forms import to_builtins, to_json
from mdsvc.identity import Identity
from mdsvc.instance import PlacedInstance
from mdsvc.listening.connections import watched
from mdsvc.metrics import Metrics
from mdsvc.problems import RETRY_SECONDS, log_fault, statuses
from mdsvc.reports import MOST_BYTES, Status, now_ms, read_status
from mdsvc.store import GuestStore
from mdsvc.vendordata.answers import Vendordata
from mdsvc.versions import BY_NAME
from mdsvc.waiting import Waiting

_MAX_PASSWORD = 1020
"""Bytes; four fields of 255, as Nova keeps it."""

_BODY_SECONDS = 10

_VENDOR_DATA = ("vendor_data2.json",)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guests:
    """What answering guests needs: one value, made where the program is put together.

    ``store`` may give what was read a moment ago; ``unkept`` is the one behind it, which does not.
    """

    store: GuestStore
    unkept: GuestStore
    waiting: Waiting
    identity: Identity
    documents: Documents
    longest_wait: int
    proxied: bool
    metrics: Metrics | None = None
    vendordata: Vendordata | None = None


class _Call(NamedTuple):
    """One request of a known guest."""

    guests: Guests
    guest: PlacedInstance
    request: web.Request
    path: Path


async def handle(guests: Guests, request: web.Request) -> web.Response:
    """Answer any request of a guest."""
    began = monotonic()
    response = await _respond(guests, request)
    if guests.metrics:
        client = request.headers.get("User-Agent", "")
        seconds = monotonic() - began
        guests.metrics.answered(request.path, client, response.status, seconds)
    return response


async def _respond(guests: Guests, request: web.Request) -> web.Response:
    try:
        path = tuple(filter(None, request.path.split("/")))
        guest = await guests.identity.guest(guests.store, request.remote or "", request.headers)
        return await _answer(_Call(guests, guest, request, path))
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        return failed(request, error)


def failed(request: web.Request, error: Exception) -> web.Response:
    """What is wrong on this side is for the log alone; the guest is to come again."""
    status = statuses(error).guest
    if status < 500:
        return _text(str(error).encode(errors="replace"), status)
    log_fault(_log, f"{request.method} {request.path} of {request.remote}", error)
    response = _text(b"the metadata cannot be read now; try again", 503)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


async def _answer(call: _Call) -> web.Response:
    """Who asks is known. A path that is not there is 404 with every method: clients that try for a
    token with ``PUT`` take that for "no tokens here", and stop at 400.
    """
    methods = _methods(call.path)
    if call.request.method in methods:
        return await methods[call.request.method](call)
    _find(call)
    return _not_allowed(call.guests, methods)


def _not_allowed(guests: Guests, methods: Mapping[str, object]) -> web.Response:
    allowed = ", ".join(methods)
    if guests.proxied:
        return _text(f"expected one of the methods {allowed}".encode(), 400)
    response = _text(f"expected one of the methods {allowed}".encode(), 405)
    response.headers["Allow"] = allowed
    return response


# ---- documents ----


async def _document(call: _Call) -> web.Response:
    answer = await _whole(call)
    waiting = call.request.query.get("wait_for_change", "") == "true"
    if waiting and answer.content_type == JSON:
        answer = await _changed(call, answer)
    known_tags = call.request.headers.get("If-None-Match", "")
    if not call.guests.proxied and f'"{answer.etag}"' in known_tags:
        return web.Response(status=304, headers={"ETag": _tag(answer), **_NOT_KEPT})
    body = answer.reply(call.guests.documents.entropy, waiting and answer.content_type == JSON)
    return _reply(body, answer.content_type, 200, {"ETag": _tag(answer)})


def _find(call: _Call) -> Answer:
    answer = call.guests.documents.find(call.guest, call.path)
    if answer is None:
        raise NotFound(f"there is no /{'/'.join(call.path)} for this instance")
    return answer


async def _whole(call: _Call) -> Answer:
    """The document with what the operator's own services add to it."""
    answer = _find(call)
    vendordata = call.guests.vendordata
    if vendordata and call.path[-1:] == _VENDOR_DATA:
        return joined(answer, await vendordata.of(call.guest))
    return answer


async def _changed(call: _Call, answer: Answer) -> Answer:
    """The document once its etag is another than ``last_etag``, or as it is when time is up.

    Without ``last_etag`` the next change is waited for, as on the clouds that this is learned from.
    """
    last = call.request.query.get("last_etag", answer.etag).removeprefix("W/").strip('"')
    seconds = requested_wait(call.request, call.guests.longest_wait)
    deadline = asyncio.get_running_loop().time() + seconds
    with (
        call.guests.waiting.on("instance", call.guest.uuid) as parked,
        watched(call.request, parked.end),
    ):
        while answer.etag == last and await parked.woken(deadline):
            guest = await call.guests.unkept.get_instance(call.guest.uuid)
            if guest is None:
                raise NotFound(f"instance {call.guest.uuid} is gone")
            answer = await _whole(call._replace(guest=guest))
    return answer


def requested_wait(request: web.Request, longest: int) -> int:
    """For how many seconds a request is to wait, and may. Raises BadInput."""
    text = request.query.get("timeout_sec", str(longest))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadInput(f"timeout_sec={text[:40]}: expected a whole number of seconds")
    return min(int(text), longest)


def _tag(answer: Answer) -> str:
    """Weak: two replies of one etag may differ in what is new in every reply."""
    return f'W/"{answer.etag}"'


# ---- the password ----


def _is_password(path: Path) -> bool:
    match path:
        case ("openstack", version, "password") if version in BY_NAME:
            return "password" in BY_NAME[version].files
    return False


async def _get_password(call: _Call) -> web.Response:
    return _text(await call.guests.store.password(call.guest.uuid) or b"")


async def _post_password(call: _Call) -> web.Response:
    body = await _bounded_body(call.request, "password", _MAX_PASSWORD)
    if not await call.guests.store.set_password(call.guest.uuid, body):
        raise Conflict("the password is set already, and can be set only once")
    return _text(b"")


# ---- reports ----


_STATUS_PATH = ("mdsvc", "v1", "status")


async def _get_status(call: _Call) -> web.Response:
    """What the guest has reported last; an empty object where that is nothing."""
    report = await call.guests.store.report(call.guest.uuid)
    status = report.status if report else Status()
    told = {key: value for key, value in to_builtins(status).items() if value is not None}
    return _reply(to_json(told), JSON, 200, {})


async def _post_status(call: _Call) -> web.Response:
    body = await _bounded_body(call.request, "status", MOST_BYTES)
    await call.guests.store.set_report(call.guest.uuid, read_status(body), now_ms())
    return _text(b"")


# ---- what a guest leaves ----


async def _bounded_body(request: web.Request, name: str, most: int) -> bytes:
    """The whole body, read no further than it may go, and not waited for beyond patience."""
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while len(body) <= most:
                chunk = await request.content.read(most + 1 - len(body))
                if not chunk:
                    break
                body += chunk
    except TimeoutError:
        raise BadInput(f"{name}: expected the whole body within {_BODY_SECONDS} s") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadInput(f"{name}: expected a body that can be read: {error}") from None
    if not 0 < len(body) <= most:
        raise BadInput(f"{name}: expected 1 to {most} bytes")
    return body


_Handler = Callable[[_Call], Awaitable[web.Response]]
_DOCUMENT: Mapping[str, _Handler] = {"GET": _document, "HEAD": _document}
_PASSWORD: Mapping[str, _Handler] = {
    "GET": _get_password,
    "HEAD": _get_password,
    "POST": _post_password,
}
_STATUS: Mapping[str, _Handler] = {"GET": _get_status, "HEAD": _get_status, "POST": _post_status}


def _methods(path: Path) -> Mapping[str, _Handler]:
    """What may be done with what is at a path."""
    if path == _STATUS_PATH:
        return _STATUS
    return _PASSWORD if _is_password(path) else _DOCUMENT


# ---- replies ----


def _text(body: bytes, code: int = 200) -> web.Response:
    return _reply(body, TEXT, code, {})


_NOT_KEPT = {"Cache-Control": "no-store"}
"""Metadata is for one guest and for now: no cache on the way may keep it."""


def _reply(body: bytes, kind: str, code: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=body, status=code, headers={"Content-Type": kind, **_NOT_KEPT, **headers}
    )
