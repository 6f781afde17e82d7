"""The answer that guests get most: a document whose header is known beforehand, sent as it is.

aiohttp's own response makes its header anew each time, which takes longer than all else of an
answer that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion, HttpVersion11
from multidict import CIMultiDict

from mdsvc.override import override


class KnownHeader:
    """The header of such answers; ``head`` is how it begins on the wire. Nobody changes it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = CIMultiDict(headers)
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items())]
        self.head = "\r\n".join(lines).encode()
        self._sized = 0, self._of(0)

    def wire(self, content: bytes, version: HttpVersion, *, keeps: bool) -> bytes:
        """The whole answer to a request of that version; ``keeps``: the connection stays."""
        return self.start(len(content), version, keeps=keeps) + content

    def _of(self, length: int) -> bytes:
        return b"%b\r\nContent-Length: %d\r\nDate: " % (self.head, length)

    def start(self, length: int, version: HttpVersion, *, keeps: bool) -> bytes:
        """The same, up to the content of that many bytes."""
        if self._sized[0] != length:  # most are as long as the last one
            self._sized = length, self._of(length)
        end = _END[version >= HttpVersion11, keeps]
        return self._sized[1] + rfc822_formatted_time().encode() + end


_END: Mapping[tuple[bool, bool], bytes] = {
    (True, True): b"\r\n\r\n",
    (True, False): b"\r\nConnection: close\r\n\r\n",
    (False, True): b"\r\nConnection: keep-alive\r\n\r\n",
    (False, False): b"\r\n\r\n",
}
"""The last lines, by whether HTTP is 1.1 and the connection stays: else the other way is usual."""


class Known(web.StreamResponse):
    """An answer of status 200."""

    _status, _reason = 200, "OK"

    def __init__(self, header: KnownHeader, content: bytes) -> None:
        self._headers = header.headers  # instead of what the base class would make
        self._header = header
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
        keeps = bool(request.keep_alive)
        start = self._header.start(len(self._content), request.version, keeps=keeps)
        transport.write(start if request.method == hdrs.METH_HEAD else start + self._content)
        await request.writer.drain()
