"""The answer that guests get most: a document whose header is known beforehand, sent as it is.

aiohttp's own response makes its header anew each time, which takes longer than all else of an
answer that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from mdsvc.override import override


class KnownHeader:
    """The header of such answers; ``head`` is how it begins on the wire. Nobody changes it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = CIMultiDict(headers)
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items())]
        self.head = "\r\n".join(lines).encode()


class Known(web.StreamResponse):
    """An answer of status 200."""

    _status, _reason = 200, "OK"

    def __init__(self, header: KnownHeader, content: bytes) -> None:
        self._headers = header.headers  # instead of what the base class would make
        self._head = header.head
        self._content = content
        self._request: web.BaseRequest | None = None

    @property
    @override
    def body_length(self) -> int:
        return len(self._content)

    @property
    @override
    def keep_alive(self) -> bool | None:
        return self._request.keep_alive if self._request else None

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._request = request
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        """Send header and body at once, and wait for a peer that reads slowly."""
        request = self._request
        assert request is not None, "it is prepared"
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the peer has hung up")
        content = self._content if request.method != hdrs.METH_HEAD else b""
        date, close = rfc822_formatted_time().encode(), _connection(request)
        form = b"%b\r\nContent-Length: %d\r\nDate: %b\r\n%b\r\n%b"
        transport.write(form % (self._head, len(self._content), date, close, content))
        await request.writer.drain()


def _connection(request: web.BaseRequest) -> bytes:
    """What is to be said of it: the other way is usual for the version."""
    if request.version >= HttpVersion11:
        return b"" if request.keep_alive else b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if request.keep_alive else b""
