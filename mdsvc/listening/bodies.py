"""What a request brings, read no further than it may go, and not waited for beyond patience."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, hdrs, web

from mdsvc.errors import BadInput

_SECONDS = 10


async def bounded_body(request: web.BaseRequest, name: str, most: int) -> bytes:
    """The whole body, of 1 to ``most`` bytes. Raises BadInput, which begins with the name."""
    if (request.content_length or 0) > most:
        raise BadInput(f"{name}: expected 1 to {most} bytes")
    body = await body_of(request, most, f"{name}: ")
    if not 0 < len(body) <= most:
        raise BadInput(f"{name}: expected 1 to {most} bytes")
    return body


async def body_of(request: web.BaseRequest, most: int, what: str = "") -> bytes:
    """The whole body, also none; of a longer one a byte more than ``most``. Raises BadInput, which
    begins with ``what``.
    """
    body = b""
    try:
        async with asyncio.timeout(_SECONDS):
            await _invite(request)
            while len(body) <= most:
                chunk = await request.content.read(most + 1 - len(body))
                if not chunk:
                    break
                body += chunk
    except TimeoutError:
        raise BadInput(f"{what}expected the whole body within {_SECONDS} s") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadInput(f"{what}expected a body that can be read: {error}") from None
    return body


async def _invite(request: web.BaseRequest) -> None:
    """A client may wait to be told that its body is wanted (RFC 9110, 10.1.1); one that speaks
    HTTP/1.0 does not, and would take the word for the answer.
    """
    expects = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if expects and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
