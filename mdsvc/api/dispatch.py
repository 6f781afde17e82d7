"""A request to its route's handler, and the handler's answer to the wire."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from aiohttp import web

from mdsvc.api.bodies import read_body
from mdsvc.api.boundary import CALLER
from mdsvc.api.counting import count_answer, count_error
from mdsvc.api.route import Answer, Backend, Call, Route
from mdsvc.api.streams import Streams
from mdsvc.errors import BadInput, MdsvcError, NotFound, Unavailable
from mdsvc.forms import check_plain, from_texts, shown, to_json

_SECONDS = 20
"""For how long an answer may take: well beyond what a busy store takes to say that it is busy."""

WARNINGS = "X-Mdsvc-Warnings"
_WARNED_BYTES = 4000

_WORTH_COMPRESSING = 1024
"""Bytes."""


async def serve(
    backend: Backend, streams: Streams, route: Route, request: web.Request
) -> web.StreamResponse:
    """One request that was let in. Raises whatever is wrong with it."""
    caller = request.get(CALLER)
    if caller and not route.reads:
        caller.check_may_change()
    call = Call(
        backend=backend,
        path=_path(request),
        query=from_texts(_query(request), route.query),
        body=route.read(await read_body(request)) if route.body else None,
        headers=request.headers,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await route.handler(call)
        count_answer(backend.metrics, route, answer)
    except MdsvcError as error:
        count_error(backend.metrics, error)
        raise
    except TimeoutError:
        raise Unavailable(
            f"no answer within {_SECONDS} s; what was asked for may yet be done, or not"
        ) from None
    if isinstance(answer.body, AsyncIterator):
        check = partial(backend.access.caller, request.headers)
        return await streams.send(request, route.kind, answer.body, check)
    return _response(request, route, answer)


def _path(request: web.Request) -> Mapping[str, str]:
    """What the path names. What no store can hold is not there."""
    names = dict(request.match_info)
    try:
        check_plain(names)
    except BadInput:
        raise NotFound(f"there is no {shown(request.path)}") from None
    return names


def _query(request: web.Request) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in request.query.items():
        if key in values:
            raise BadInput(f"{key}: expected once, but it is there twice", key)
        values[key] = value
    return values


def _response(request: web.Request, route: Route, answer: Answer) -> web.Response:
    headers: dict[str, str] = {}
    if answer.etag:
        headers["ETag"] = f'"{answer.etag}"'
    if answer.location:
        headers["Location"] = quote(answer.location)
    if answer.warnings:
        headers[WARNINGS] = _warnings(answer.warnings)
    if answer.status == 204:
        return web.Response(status=204, headers=headers)
    headers["Content-Type"] = route.kind
    body = answer.body if isinstance(answer.body, bytes) else to_json(answer.body)
    response = web.Response(
        body=body, status=answer.status, headers=headers, zlib_executor_size=32 * 1024
    )
    response.headers["Vary"] = "Accept-Encoding"
    if len(body) >= _WORTH_COMPRESSING and _takes_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)
    return response


_NEVER = re.compile(r"\s*q=0(?:\.0*)?\s*")


def _warnings(texts: Sequence[str]) -> str:
    """A list in JSON, in ASCII: as many of them as a header has room for."""
    shown = list(texts)
    while len(listed := json.dumps(shown)) > _WARNED_BYTES:
        shown.pop()
    return listed


def _takes_gzip(request: web.Request) -> bool:
    """RFC 9110, 12.5.3: a coding that is listed, and not with the weight 0."""
    for listed in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = listed.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not _NEVER.fullmatch(weight)
    return False
