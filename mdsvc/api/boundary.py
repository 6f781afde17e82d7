"""The boundary that no error passes: what goes wrong is a problem document (RFC 9457).

Each answer has its request's id, and so have the lines of the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import HttpVersion11, web

from mdsvc.access import Caller
from mdsvc.errors import BadInput, MethodNotAllowed, NotFound, TooLarge, Unidentified
from mdsvc.forms import shown, to_json
from mdsvc.logs import one_line
from mdsvc.problems import log_fault, problem, retry_seconds

REQUEST_ID = "X-Request-ID"
CALLER = web.RequestKey("caller", Caller)
"""Who asks, once that is known."""

_ID = web.RequestKey("id", str)

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_log = logging.getLogger("mdsvc.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request_id(request: web.Request) -> str:
    """The id that whoever asks has given the request, if it is a sane one; else one of its own."""
    if _ID not in request:
        given = request.headers.get(REQUEST_ID, "")
        request[_ID] = given if _SANE_ID.fullmatch(given) else uuid4().hex
    return request[_ID]


async def prepare(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer has."""
    response.headers[REQUEST_ID] = request_id(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is a problem document; what is the server's fault is logged too."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return refused(request, _ours(request, refusal))
    except Exception as error:  # noqa: BLE001  # nothing falls through, and nothing is hidden
        return refused(request, error)


@web.middleware
async def told_of_changes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outside of the boundary: a line in the log for whatever may have changed something."""
    response = await handler(request)
    if request.method not in ("GET", "HEAD"):
        _log_change(request, response.status)
    return response


def _log_change(request: web.Request, status: int) -> None:
    caller, path, number = request.get(CALLER), one_line(request.path), request_id(request)
    name = (caller and caller.name) or "-"
    event = {"request_id": number, "caller": name, "method": request.method, "path": path}
    _log.info(
        "%s %s %s by %s [%s]",
        *(request.method, path, status, name, number),
        extra={**event, "status": status},
    )


async def meet_expectation(request: web.Request) -> web.StreamResponse | None:
    """Called before all else where a request has an ``Expect`` header (RFC 9110, 10.1.1)."""
    if request.headers["Expect"].lower() == "100-continue":
        if request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # of the answer itself nothing is sent yet
        return None
    return refused(request, BadInput("Expect: expected 100-continue, or no such header"))


def _ours(request: web.Request, refusal: web.HTTPException) -> Exception:
    """What aiohttp refuses by itself, as an error of ours."""
    match refusal:
        case web.HTTPNotFound():
            return NotFound(f"there is no {shown(request.path)}")
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(sorted(refusal.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            return TooLarge(str(refusal.text))
        case _:
            return BadInput(str(refusal.text)) if refusal.status < 500 else refusal


def refused(request: web.Request, error: Exception) -> web.Response:
    """The answer that tells an error."""
    body = problem(error, request_id(request))
    headers = {"Content-Type": "application/problem+json"}
    if body.status >= 500:
        log_fault(_log, f"{request.method} {request.path}", error, request_id(request))
    if body.status == 503:
        headers["Retry-After"] = str(retry_seconds(error))
    if isinstance(error, Unidentified):
        headers["WWW-Authenticate"] = 'Bearer realm="mdsvc"'
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return web.Response(body=to_json(body), status=body.status, headers=headers)
