"""What a guest may ask, over HTTP: documents, and what it may leave: its password, and reports.

A guest behind Neutron's agent gets no other status than 200, 400, 403, 404, 409 and 503, as the
agent turns others into its own failure; a guest that asks directly also gets 304 and 405.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from time import monotonic
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

from mdsvc.awaited import hold, sent
from mdsvc.control import user_data
from mdsvc.documents import JSON, TEXT, Answer, Path, joined
from mdsvc.documents.places import is_password, is_user_data
from mdsvc.documents.replies import header_of, reply_of, text_reply, unchanged
from mdsvc.errors import BadInput, Conflict, Forged, NotFound, Unidentified
from mdsvc.forms import to_builtins, to_json
from mdsvc.guarding import TOKEN_PATH
from mdsvc.guarding.tokens import TTL_HEADERS
from mdsvc.guests import Guests
from mdsvc.held import known_etag, requested_wait
from mdsvc.instance import PlacedInstance
from mdsvc.listening.bodies import bounded_body
from mdsvc.listening.connections import arrival_of, connection_of, watched
from mdsvc.listening.prompt import Later
from mdsvc.listening.replies import Known
from mdsvc.refusals import failed, not_allowed
from mdsvc.reports import MOST_BYTES, Status, now_ms, read_status

_MAX_PASSWORD = 1020
"""Bytes; four fields of 255, as Nova keeps it."""

_log = logging.getLogger(__name__)


class _Call(NamedTuple):
    """One request of a known guest."""

    guests: Guests
    guest: PlacedInstance
    request: web.BaseRequest
    path: Path
    kind: _Kind


async def handle(guests: Guests, request: web.BaseRequest) -> web.StreamResponse:
    """Answer any request of a guest."""
    began = monotonic()
    if connection_of(request).is_pipelined:
        await asyncio.sleep(0)  # others' requests come in between
    response = await _respond(guests, request)
    if guests.metrics:
        client = request.headers.get(hdrs.USER_AGENT, "")
        seconds = monotonic() - began
        guests.metrics.answered(request.path, client, response.status, seconds)
    return response


def at_once(guests: Guests, message: RawRequestMessage, peer: str | None) -> bytes | Later | None:
    """What ``handle`` answers, where that is a document of a guest that is kept, and no more is
    asked for but to wait for a change. Whatever is out of the ordinary, or wrong, is for
    ``handle``: None.
    """
    began = monotonic()
    if message.method != hdrs.METH_GET or hdrs.IF_NONE_MATCH in message.headers:
        return None
    target, asks, _ = message.path.partition("?")
    path, kind = _place(target)
    if kind.takes_more(guests):
        return None
    try:
        if asks:
            return hold(guests, path, message, peer)
        answer = _kept_document(guests, path, message, peer)
    except Exception:  # noqa: BLE001  # it comes up again there, and is told
        return None
    return sent(guests, message, answer, began) if answer else None


def _kept_document(
    guests: Guests, path: Path, message: RawRequestMessage, peer: str | None
) -> Answer | None:
    """Of a guest that is kept. It is admitted once it is known that it is answered."""
    if guests.kept is None:
        return None
    guest = guests.identity.kept(guests.kept, peer, message.headers)
    answer = guests.documents.find(guest, path) if guest else None
    if guest and answer:
        guests.guard.admit_at_once(message.path, message.headers, guest.uuid, guest.tokens)
    return answer


async def _respond(guests: Guests, request: web.BaseRequest) -> web.StreamResponse:
    try:
        path, kind = _place(request.path)
        guest = await _who(guests, request)
        guests.guard.take(guest.uuid)  # it counts whatever comes of it
        guests.guard.check(
            request.raw_path,
            request.headers,
            guest.uuid,
            guest.tokens,
            asks_for_token=kind is _TOKEN and request.method in kind.methods,
        )
        with guests.guard.at_work(guest.uuid):
            return await _answer(_Call(guests, guest, request, path, kind))
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        return failed(request, error, guests.metrics, proxied=guests.proxied)


async def _who(guests: Guests, request: web.BaseRequest) -> PlacedInstance:
    """Raises TooManyRequests where too many strangers ask: those have one bucket together."""
    try:
        return await _identified(guests, request)
    except (BadInput, Forged, NotFound, Unidentified):
        guests.guard.take(None)
        raise


async def _identified(guests: Guests, request: web.BaseRequest) -> PlacedInstance:
    peer, arrival = request.remote or "", arrival_of(request)
    return await guests.identity.guest(guests.store, peer, request.headers, arrival)


async def _answer(call: _Call) -> web.StreamResponse:
    """Who asks is known, and may. A path that is not there is 404 with every method: clients that
    try for a token with ``PUT`` take that for "no tokens here", and stop at 400.
    """
    if handler := call.kind.methods.get(call.request.method):
        return await handler(call)
    if call.kind is _TOKEN:
        _check_has_tokens(call)
    else:
        _find(call)
    return not_allowed(call.kind.methods, proxied=call.guests.proxied)


# ---- session tokens ----


async def _put_token(call: _Call) -> web.Response:
    _check_has_tokens(call)
    token, seconds = call.guests.guard.issue(call.request.headers, call.guest.uuid)
    return reply_of(token.encode(), TEXT, 200, dict.fromkeys(TTL_HEADERS, str(seconds)))


def _check_has_tokens(call: _Call) -> None:
    """Where there are none, nothing is there."""
    if not call.guests.guard.has_tokens(call.guest.tokens):
        raise _not_there()


# ---- documents ----


async def _document(call: _Call) -> web.StreamResponse:
    request, guests = call.request, call.guests
    answer = await _whole(call)
    waits = answer.content_type == JSON and _waits(request)
    if waits:
        answer = await _changed(call, answer)
    if not guests.proxied and _is_known(request, answer.etag):
        return unchanged(answer)
    header = header_of(answer.content_type, answer.etag)
    return Known(header, answer.reply(guests.documents.entropy, waits))


def _is_known(request: web.BaseRequest, etag: str) -> bool:
    """Whether ``If-None-Match`` names it, compared weakly (RFC 9110, 13.1.2)."""
    known_tags = request.headers.getall(hdrs.IF_NONE_MATCH, ())
    return any(f'"{etag}"' in tags or tags.strip() == "*" for tags in known_tags)


def _waits(request: web.BaseRequest) -> bool:
    return bool(request.query_string) and request.query.get("wait_for_change") == "true"


def _find(call: _Call) -> Answer:
    answer = call.guests.documents.find(call.guest, call.path)
    if answer is None:
        raise _not_there()
    return answer


def _not_there() -> NotFound:
    return NotFound("there is no such document for this instance")


async def _whole(call: _Call) -> Answer:
    """The document with what the operator's own services add to it."""
    answer = _find(call)
    vendordata = call.guests.vendordata
    if vendordata and call.kind is _VENDOR_DATA:
        return joined(answer, await vendordata.of(call.guest))
    return answer


async def _changed(call: _Call, answer: Answer) -> Answer:
    """The document once its etag is another than ``last_etag``, or as it is when time is up."""
    query = call.request.query
    last = known_etag(query, answer.etag)
    seconds = requested_wait(query, call.guests.longest_wait)
    if answer.etag != last or not seconds:
        return answer
    deadline = asyncio.get_running_loop().time() + seconds
    guests = call.guests
    guests.guard.check_waits(guests.waiting.count("instance", call.guest.uuid))
    with (
        call.guests.waiting.on("instance", call.guest.uuid) as parked,
        watched(call.request, parked.end),
    ):
        while answer.etag == last and await parked.woken(deadline):
            call = call._replace(guest=await _still(call))
            # It may have to bring a token by now.
            guests.guard.check_token(call.request.headers, call.guest.uuid, call.guest.tokens)
            answer = await _whole(call)
    return answer


async def _still(call: _Call) -> PlacedInstance:
    """The guest as it is now. Raises NotFound where the peer is it no more: it is gone, or its
    address is another one's.
    """
    guest = await _identified(call.guests, call.request)
    if guest.uuid != call.guest.uuid:
        raise NotFound(f"instance {call.guest.uuid} is asked from elsewhere now")
    return guest


# ---- user data ----


async def _user_data(call: _Call) -> web.StreamResponse:
    """Those of a guest that has none can be asked for as long as it likes."""
    seconds = call.guests.user_data_seconds
    if seconds is not None:
        _find(call)
        if call.request.method == "HEAD":  # which reads nothing
            await user_data.check_open(call.guests.store, call.guest.uuid)
        else:
            await user_data.read(call.guests.store, call.guest.uuid, seconds)
    return await _document(call)


# ---- the password ----


async def _get_password(call: _Call) -> web.Response:
    return text_reply(await call.guests.store.password(call.guest.uuid) or b"")


async def _post_password(call: _Call) -> web.Response:
    body = await bounded_body(call.request, "password", _MAX_PASSWORD)
    if not await call.guests.store.set_password(call.guest.uuid, body):
        raise Conflict("the password is set already, and can be set only once")
    return text_reply(b"")


# ---- reports ----


async def _get_status(call: _Call) -> web.Response:
    """What the guest has reported last; an empty object where that is nothing."""
    report = await call.guests.store.report(call.guest.uuid)
    status = report.status if report else Status()
    told = {key: value for key, value in to_builtins(status).items() if value is not None}
    return reply_of(to_json(told), JSON, 200, {})


async def _post_status(call: _Call) -> web.Response:
    status = read_status(await bounded_body(call.request, "status", MOST_BYTES))
    store, uuid = call.guests.store, call.guest.uuid
    await store.set_report(uuid, status, now_ms())
    if call.guests.user_data_seconds is not None and status.state is not None:
        await user_data.close_after_report(store, uuid)
    return text_reply(b"")


# ---- places ----


_Handler = Callable[[_Call], Awaitable[web.StreamResponse]]


class _Kind(NamedTuple):
    """What is at a path: what may be done there, and whether a GET of it ``takes_more`` than
    the guest.
    """

    methods: Mapping[str, _Handler]
    takes_more: Callable[[Guests], bool] = lambda _: True


_DOCUMENT = _Kind({"GET": _document, "HEAD": _document}, lambda _: False)
_VENDOR_DATA = _Kind(_DOCUMENT.methods, lambda guests: guests.vendordata is not None)
_USER_DATA = _Kind(
    {"GET": _user_data, "HEAD": _user_data}, lambda guests: guests.user_data_seconds is not None
)
_PASSWORD = _Kind({"GET": _get_password, "HEAD": _get_password, "POST": _post_password})
_STATUS = _Kind({"GET": _get_status, "HEAD": _get_status, "POST": _post_status})
_TOKEN = _Kind({"PUT": _put_token})

_BY_PATH: Mapping[Path, _Kind] = {TOKEN_PATH: _TOKEN, ("mdsvc", "v1", "status"): _STATUS}


class _Place(NamedTuple):
    """A path's non-empty segments, and what is there."""

    path: Path
    kind: _Kind


_LONGEST_KEPT = 200
"""Characters of a path whose place is kept, so that nobody fills memory with others."""


def _place(text: str) -> _Place:
    return _kept_place(text) if len(text) <= _LONGEST_KEPT else _kept_place.__wrapped__(text)


@lru_cache(maxsize=1024)
def _kept_place(text: str) -> _Place:
    path = tuple(filter(None, text.split("/")))
    if is_user_data(path):
        return _Place(path, _USER_DATA)
    if is_password(path):
        return _Place(path, _PASSWORD)
    if path[-1:] == ("vendor_data2.json",):
        return _Place(path, _VENDOR_DATA)
    return _Place(path, _BY_PATH.get(path, _DOCUMENT))
