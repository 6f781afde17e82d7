"""The guest's door in front of Nova's metadata service: what Nova answers, with what it does not.

Whoever asks is known by the agent's signature alone; nothing that is forged is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.http import RawRequestMessage
from multidict import MultiMapping

from mdsvc.cpuset import CpuSet
from mdsvc.documents import overlay, pooled
from mdsvc.documents.answer import TEXT, Path
from mdsvc.documents.overlay import Shown
from mdsvc.errors import BadInput, Forged, TooManyRequests, Unavailable, Unidentified
from mdsvc.guarding import Guard, is_token_path
from mdsvc.guarding.tokens import TTL_HEADERS
from mdsvc.held import known_etag, requested_wait
from mdsvc.identity.neutron import NeutronIdentity
from mdsvc.kept import kept
from mdsvc.listening.bodies import body_of
from mdsvc.listening.connections import watched
from mdsvc.listening.replies import KnownHeader
from mdsvc.metrics import Metrics
from mdsvc.nova.answers import FRESH_SECONDS, LONGEST_PATIENCE, Answers
from mdsvc.nova.replies import Asker, Reply
from mdsvc.nova.upstreams import Upstreams
from mdsvc.problems import RETRY_SECONDS
from mdsvc.refusals import failed
from mdsvc.versions import Entropy, Options
from mdsvc.waiting import Waiting

POLL_SECONDS = 5.0
"""How often the upstream is asked for a guest that waits."""

WAITS = 500
"""How many may wait, as each of them is a request every few seconds."""

LARGEST_BODY = 65536
_OWN_TREE = "/mdsvc"
"""What is answered there depends on another answer of the upstream's."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_OURS = ("wait_for_change", "last_etag", "timeout_sec")


@dataclass(frozen=True)
class Overlay:
    """What answering needs: one value, made where the program is put together."""

    identity: NeutronIdentity
    upstreams: Upstreams
    answers: Answers
    waiting: Waiting
    options: Options
    longest_wait: int
    guard: Guard
    metrics: Metrics | None = None
    entropy: Entropy = field(default_factory=pooled)
    shown: WeakKeyDictionary[Reply, Shown] = field(default_factory=WeakKeyDictionary)


class _Call(NamedTuple):
    """One request of a guest that the agent has signed for."""

    door: Overlay
    asker: Asker
    request: web.BaseRequest
    path: Path
    target: str


async def handle(door: Overlay, request: web.BaseRequest) -> web.Response:
    """Answer any request of a guest."""
    began = monotonic()
    try:
        response = await _guarded(door, request)
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        response = failed(request, error, door.metrics, proxied=True)
    if door.metrics:
        client = request.headers.get("User-Agent", "")
        door.metrics.answered(request.path, client, response.status, monotonic() - began)
    return response


def at_once(door: Overlay, message: RawRequestMessage, _peer: str | None) -> bytes | None:
    """What ``handle`` answers, where that is kept and no more is asked for. Whatever is out of the
    ordinary, or wrong, is for ``handle``: None.
    """
    began = monotonic()
    try:
        shown = _kept(door, message)
        if shown is None:
            return None
        header = _header(shown)
    except Exception:  # noqa: BLE001  # it comes up again there, and is told
        return None
    if door.metrics:
        client = message.headers.get("User-Agent", "")
        door.metrics.answered(message.path, client, shown.status, monotonic() - began)
    content = shown.body(door.entropy)
    return header.wire(content, message.version, keeps=not message.should_close)


def _kept(door: Overlay, message: RawRequestMessage) -> Shown | None:
    """As far as nothing has to be asked for, and nothing is to be passed on."""
    if message.method != "GET" or message.path.startswith(_OWN_TREE) or "?" in message.path:
        return None
    asker = _asker(door, message.headers)
    reply = door.answers.kept(asker, message.path)
    shown = door.shown.get(reply) if reply else None
    if shown is None or shown.status != 200 or "Content-Type" not in shown.headers:
        return None
    door.guard.admit_at_once(message.path, message.headers, asker.uuid)
    return shown


@kept
def _header(shown: Shown) -> KnownHeader:
    return KnownHeader({**shown.headers, "ETag": _tag(shown)})


def _tag(shown: Shown) -> str:
    """Weak: two replies of one etag may differ in the seed."""
    return f'W/"{shown.etag}"'


async def _guarded(door: Overlay, request: web.BaseRequest) -> web.Response:
    """Whoever signs falsely is a stranger, and strangers have one bucket together."""
    try:
        call = _call(door, request)
    except (BadInput, Forged, Unidentified):
        door.guard.take(None)
        raise
    uuid, guard = call.asker.uuid, door.guard
    asks = request.method == "PUT" and is_token_path(call.path)
    guard.take(uuid)
    guard.check(request.raw_path, request.headers, uuid, asks_for_token=asks)
    with guard.at_work(uuid):
        if asks and guard.has_tokens():
            return _token(call)
        return await _answer(call)


def _token(call: _Call) -> web.Response:
    token, seconds = call.door.guard.issue(call.request.headers, call.asker.uuid)
    headers = {"Content-Type": TEXT, "Cache-Control": "no-store"}
    return _response(200, headers | dict.fromkeys(TTL_HEADERS, str(seconds)), token.encode())


def _call(door: Overlay, request: web.BaseRequest) -> _Call:
    """Raises Unidentified, Forged or BadInput."""
    asker = _asker(door, request.headers)
    for name, value in asker.headers().items():
        if not (value.isascii() and value.isprintable()):
            raise Unidentified(f"{name}: expected printable ASCII")
    if request.method not in _METHODS:
        raise BadInput(f"expected one of the methods {', '.join(_METHODS)}")
    target = _target(request)
    return _Call(door, asker, request, overlay.path_of(target), target)


def _asker(door: Overlay, headers: MultiMapping[str]) -> Asker:
    """Raises Unidentified or Forged."""
    signed = door.identity.signed_for(headers)
    forwarded = headers.getall("X-Forwarded-For", [])
    return Asker(*signed, ", ".join(forwarded) if forwarded else None)


def _target(request: web.BaseRequest) -> str:
    """Path and query as they came, without what is asked of us alone."""
    url = request.rel_url
    parts = url.raw_query_string.split("&")
    query = "&".join(part for part in parts if part.partition("=")[0] not in _OURS)
    return "/" + url.raw_path.removeprefix("/") + (f"?{query}" if query else "")


async def _answer(call: _Call) -> web.Response:
    if call.request.method not in ("GET", "HEAD"):
        return await _passed_through(call)
    if call.path[:1] == ("openstack",) and call.path[2:] == ("password",):
        return await _passed_through(call)  # it can be set at any moment, and is a secret
    answer = await _first(call)
    waits = call.request.query.get("wait_for_change", "") == "true" and answer.is_json
    if waits:
        answer = await _changed(call, answer)
    headers = {**answer.headers}
    if answer.status == 200:
        headers["ETag"] = _tag(answer)
    return _response(
        answer.status, headers, answer.body(call.door.entropy, waits and answer.is_json)
    )


def _response(status: int, headers: Mapping[str, str], body: bytes) -> web.Response:
    retry = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return web.Response(status=status, headers={**retry, **headers}, body=body)


async def _passed_through(call: _Call) -> web.Response:
    """What changes something there, or must be as it is now."""
    reply = await call.door.upstreams.ask(
        call.request.method, call.target, call.asker.headers(), await _body(call.request)
    )
    shown = overlay.as_it_is(reply)
    return _response(shown.status, shown.headers, shown.segments[0])


async def _body(request: web.BaseRequest) -> bytes:
    body = await body_of(request, LARGEST_BODY)
    if len(body) > LARGEST_BODY:
        raise BadInput(f"expected a body of at most {LARGEST_BODY} bytes")
    return body


# ---- documents ----


async def _first(call: _Call) -> Shown:
    """What the guest is to see, though it takes several answers, within its patience."""
    try:
        async with asyncio.timeout(LONGEST_PATIENCE):
            return await _shown(call)
    except TimeoutError:
        raise Unavailable(f"no upstream answers within {LONGEST_PATIENCE} s") from None


async def _shown(call: _Call, max_age: float = FRESH_SECONDS) -> Shown:
    """What the guest is to see, of answers no older than that in seconds. Raises Away."""
    if call.path[:1] == ("mdsvc",):
        own = overlay.own(call.path, await _cpus(call, max_age))
        if own:
            return own
    if overlay.needs_layout(call.path):
        reply, cpus = await asyncio.gather(_reply(call, max_age), _cpus(call, max_age))
        return overlay.with_cpu(call.path, reply, cpus)
    reply = await _reply(call, max_age)
    known = call.door.shown.get(reply)
    if known is None:
        known = call.door.shown[reply] = overlay.shown(call.path, reply, call.door.options)
    return known


async def _reply(call: _Call, max_age: float) -> Reply:
    return await call.door.answers.get(call.asker, call.target, max_age)


async def _cpus(call: _Call, max_age: float) -> CpuSet | None:
    layout = "/" + "/".join(overlay.LAYOUT)
    return overlay.dedicated_cpus(await call.door.answers.get(call.asker, layout, max_age))


async def _changed(call: _Call, answer: Shown) -> Shown:
    """The document once its etag is another than ``last_etag``, or as it is when time is up."""
    last = known_etag(call.request.query, answer.etag)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + requested_wait(call.request.query, call.door.longest_wait)
    if answer.etag != last or loop.time() >= deadline:
        return answer
    waiting = call.door.waiting
    call.door.guard.check_waits(waiting.count("instance", call.asker.uuid))
    if len(waiting) >= WAITS:
        raise TooManyRequests("too many requests wait for a change; try again", 1, "waits")
    with (
        waiting.on("instance", call.asker.uuid) as parked,
        watched(call.request, parked.end),
    ):
        while answer.etag == last and loop.time() < deadline and not parked.is_over:
            answer = await _shown(call, POLL_SECONDS)
            if answer.etag == last:
                await parked.woken(min(deadline, loop.time() + POLL_SECONDS))
    return answer
