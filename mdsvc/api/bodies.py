"""Reading a request's body: JSON, at most 4 MiB of it, however it is sent.

Only ``application/json`` is taken: a web page of another origin cannot send that without asking
first, and nobody answers it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from aiohttp import web

from mdsvc.errors import BadInput, TooLarge, UnsupportedMediaType

MOST = 4 * 2**20
"""Bytes of a body, and of what it is when it is decompressed."""

_SECONDS = 30

_WINDOWS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Content codings, as zlib knows them."""


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises UnsupportedMediaType, TooLarge and BadInput."""
    _check_type(request)
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", *_WINDOWS}:
        raise UnsupportedMediaType(f"Content-Encoding: expected gzip or none, got {coding[:40]!r}")
    try:
        async with asyncio.timeout(_SECONDS):
            sent = await _sent(request)
    except TimeoutError:
        raise BadInput(f"expected the whole body within {_SECONDS} s") from None
    except web.RequestPayloadError as error:
        raise BadInput(f"expected a body that can be read: {error}") from None
    return sent if coding == "identity" else _decompressed(sent, _WINDOWS[coding])


def _check_type(request: web.Request) -> None:
    kind = request.headers.get("Content-Type", "")
    name, _, parameters = kind.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if name.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        shown = repr(kind[:80]) if kind else "none"
        raise UnsupportedMediaType(f"Content-Type: expected application/json, got {shown}")


async def _sent(request: web.Request) -> bytes:
    _check_size(request.content_length or 0)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        _check_size(len(body))
    return bytes(body)


def _decompressed(sent: bytes, window: int) -> bytes:
    """No further than it may go, whatever it would become."""
    stream = zlib.decompressobj(window)
    try:
        body = stream.decompress(sent, MOST + 1)
    except zlib.error as error:
        raise BadInput(f"expected a body that can be decompressed: {error}") from None
    _check_size(len(body))
    if not stream.eof or stream.unused_data:
        raise BadInput("expected a body that is one whole compressed stream")
    return body


def _check_size(size: int) -> None:
    if size > MOST:
        raise TooLarge(f"expected a body of at most {MOST} bytes")
