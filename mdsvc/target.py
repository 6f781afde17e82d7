"""The door of Nova itself: a target of its dynamic vendor data (``DynamicJSON``), by which guests
of a cloud learn their dedicated CPUs though their metadata are Nova's.

Nova waits 5 s for each target, one after another, and so does the guest. So whatever is down, an
answer or an error is there before that: Nova puts ``{}`` for an error, and the guest boots.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
from aiohttp import web

from mdsvc.api.boundary import boundary, prepare
from mdsvc.documents.vendordata import Layout, cloud_config, of_placed, of_running
from mdsvc.errors import BadInput, Forbidden, MdsvcError, NotFound, Unavailable, Unidentified
from mdsvc.forms import to_json
from mdsvc.logs import one_line
from mdsvc.nova.keeping import Keeping
from mdsvc.nova.layouts import CloudLayouts
from mdsvc.nova.tokens import Tokens
from mdsvc.problems import statuses
from mdsvc.store import GuestStore

SECONDS = 4.0
"""For one answer in all; Nova gives up after 5."""

LARGEST_BODY = 2**20
"""Bytes. Nova sends the user data along, and does not ask whether they are wanted."""

_TOKEN_SECONDS = 2.5
_STORE_FRESH_SECONDS = 0.2
_log = logging.getLogger(__name__)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# ---- who asks ----


class Guard(Protocol):
    """Lets a request in, or raises Unidentified, Forbidden or Unavailable."""

    async def check(self, headers: Mapping[str, str], seconds: float) -> None: ...


class Anybody:
    """For a listener that this machine alone reaches."""

    async def check(self, headers: Mapping[str, str], seconds: float) -> None:
        """Everybody is let in."""


class Services:
    """Who has a token of Keystone's for a service, as Nova sends it, or a secret, where any are
    set: as ``Authorization: Bearer SECRET``, or as the password of a URL
    (``http://nova:SECRET@HOST:PORT/…``).
    """

    def __init__(self, tokens: Tokens | None, secrets: Sequence[str]) -> None:
        self._tokens = tokens
        self._secrets = [secret.encode() for secret in secrets]

    async def check(self, headers: Mapping[str, str], seconds: float) -> None:
        """Raises Unidentified, Forbidden or Unavailable."""
        if self._secrets and self._is_known(_secret(headers.get("Authorization", ""))):
            return
        if self._tokens is None:
            raise Unidentified("Authorization: expected Bearer or Basic with the shared secret")
        await self._tokens.check(headers.get("X-Auth-Token", ""), seconds)

    def _is_known(self, given: bytes) -> bool:
        return any(hmac.compare_digest(given, secret) for secret in self._secrets)


def _secret(header: str) -> bytes:
    """The secret in an ``Authorization`` header; empty where there is none."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() == "bearer":
        return text.strip().encode(errors="surrogateescape")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(text, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


# ---- of whom ----


class Known(NamedTuple):
    """A guest's layout, and its project where that is known."""

    project_id: str | None
    layout: Layout


Layouts = Callable[[str, float], Awaitable[Known]]
"""The layout of a UUID, within so many seconds. Raises MdsvcError."""


def store_layouts(store: GuestStore) -> Layouts:
    """Guests that we have placed; the last good answer where the store does not answer."""

    async def fetch(uuid: str) -> Known:
        guest = await store.get_instance(uuid)
        if guest is None:
            raise NotFound(f"instance {uuid}: it is not stored here")
        return Known(guest.project_id, of_placed(guest))

    return Keeping(fetch, _STORE_FRESH_SECONDS).get


def cloud_layouts(layouts: CloudLayouts) -> Layouts:
    """Guests that Nova has placed."""

    async def get(uuid: str, seconds: float) -> Known:
        guest = await layouts.get(uuid, seconds)
        return Known(guest.project_id, of_running(guest))

    return get


# ---- the answers ----


@dataclass(frozen=True)
class Target:
    """What answering needs; ``template`` is of the text for cloud-init."""

    guard: Guard
    layouts: Layouts
    template: str | None = None
    count: Callable[[str, int], None] = lambda _document, _status: None


_DOCUMENTS: Mapping[str, Callable[[Target, Layout], Any]] = {
    "layout": lambda _target, layout: layout,
    "cloud-init": lambda target, layout: cloud_config(layout, target.template),
}


def application(target: Target) -> web.Application:
    """Its routes. What goes wrong is a problem document, with a status that Nova logs."""
    app = web.Application(middlewares=[boundary], client_max_size=LARGEST_BODY)
    for name in _DOCUMENTS:
        app.router.add_post(f"/vendordata/{name}", _handler(target, name))
    app.router.add_get("/healthz", _healthz)
    app.on_response_prepare.append(prepare)
    return app


def _handler(target: Target, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(SECONDS):
                layout = await _layout(target, request)
            answer = web.Response(
                body=to_json(_DOCUMENTS[name](target, layout)),
                headers={"Content-Type": "application/json"},
            )
        except Exception as error:
            told = _told(error)
            status = statuses(told).operator
            target.count(name, status)
            if status < 500:  # what is ours or the cloud's fault is logged at the boundary
                _log.info("%s refused with %d: %s", name, status, one_line(str(told)))
            if told is error:
                raise
            raise told from error
        target.count(name, answer.status)
        return answer

    return handle


def _told(error: Exception) -> Exception:
    """What is the cloud's fault, or ours, is no fault of the request's."""
    if isinstance(error, TimeoutError):
        return Unavailable(f"no answer within {SECONDS:g} s")
    known = (BadInput, Forbidden, NotFound, Unavailable, Unidentified)
    if isinstance(error, MdsvcError) and not isinstance(error, known):
        return Unavailable(str(error))
    return error


async def _layout(target: Target, request: web.Request) -> Layout:
    """Of the guest that Nova names. The project is looked at too: a UUID is no secret."""
    end = asyncio.get_running_loop().time() + SECONDS
    await target.guard.check(request.headers, _TOKEN_SECONDS)
    uuid, project = _asked(await request.read())
    known = await target.layouts(uuid, max(end - asyncio.get_running_loop().time() - 0.2, 0.1))
    if known.project_id is not None and known.project_id != project:
        raise NotFound(f"instance {uuid}: it is not in that project")
    return known.layout


class _Question(msgspec.Struct, rename="kebab"):
    """What is read of Nova's question; the guest's own words in it are not looked at."""

    instance_id: str
    project_id: str


def _asked(body: bytes) -> tuple[str, str]:
    """UUID and project in Nova's question. Raises BadInput."""
    try:
        question = msgspec.json.decode(body, type=_Question)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput(f"expected Nova's question, as JSON: {error}") from None
    uuid = question.instance_id.lower()
    if not _UUID.fullmatch(uuid):
        raise BadInput("instance-id: expected a UUID", "instance-id")
    return uuid, question.project_id


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(
        body=to_json({"status": "ok"}), headers={"Content-Type": "application/json"}
    )
