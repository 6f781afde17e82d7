"""Connections: what is no HTTP gets one answer, and one line in the log at debug; and whoever works
for long on a request can be told that nobody waits for the answer.

Whoever can connect can send such bytes without end, so they must not fill the operator's log, as
aiohttp's own tracebacks at ``error`` would. A fault of the program's own still is one there.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mdsvc.override import override

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers any request."""

_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)
_ANSWERS = {
    HTTPStatus.BAD_REQUEST: "expected an HTTP/1.1 request\n",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the server has failed\n",
}

_log = logging.getLogger(__name__)


class _Connection(web.RequestHandler):
    """One connection. Nothing of what was sent is reflected."""

    __slots__ = ("when_lost",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.when_lost: Callable[[], None] | None = None  # one request is worked on at a time

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.when_lost:
            self.when_lost()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called for bytes that are no HTTP, and for what a handler lets through."""
        if isinstance(exc, _NO_HTTP):
            status = HTTPStatus.BAD_REQUEST
            _tell(exc, request.remote)
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            _log.error("a request from %s has failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        headers = {"Cache-Control": "no-store"}
        response = web.Response(status=status, text=_ANSWERS[HTTPStatus(status)], headers=headers)
        response.force_close()
        return response

    @override
    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Called for what goes wrong around a handler, as while the rest of a body is read."""
        error = kw.get("exc_info")
        if isinstance(error, (*_NO_HTTP, ConnectionError)):
            _tell(error, None)
        else:
            super().log_exception(*args, **kw)


@contextmanager
def watched(request: web.BaseRequest, when_lost: Callable[[], None]) -> Iterator[None]:
    """Within the block, call it once the peer has hung up, or did so before."""
    connection = request.protocol
    assert isinstance(connection, _Connection), "the server is run by a Runner"
    if request.transport is None:
        when_lost()
    connection.when_lost = when_lost
    try:
        yield
    finally:
        connection.when_lost = None


def _tell(error: BaseException, peer: str | None) -> None:
    what = " ".join(ascii(error)[:400].split())
    _log.debug("no HTTP request from %s: %s", peer or "a connection", what[:200])


class _Server(web.Server):
    """Makes them."""

    @override
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.BaseRunner):
    """Runs an application, or one handler of all requests, on such connections."""

    def __init__(self, door: web.Application | Handler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._door = door

    @override
    async def shutdown(self) -> None:
        if isinstance(self._door, web.Application):
            await self._door.shutdown()

    @override
    async def _make_server(self) -> web.Server:
        if not isinstance(self._door, web.Application):
            return _Server(self._door, **self._kwargs)
        plain = await web.AppRunner(self._door)._make_server()
        return _Server(plain.request_handler, request_factory=plain.request_factory, **self._kwargs)

    @override
    async def _cleanup_server(self) -> None:
        if isinstance(self._door, web.Application):
            await self._door.cleanup()
