"""Connections: what is no HTTP gets one answer, and one line in the log at debug; and whoever works
for long on a request can be told that nobody waits for the answer.

Whoever can connect can send such bytes without end, so they must not fill the operator's log, as
aiohttp's own tracebacks at ``error`` would. A fault of the program's own still is one there.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, NamedTuple, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mdsvc.listening.files import leaves
from mdsvc.listening.prompt import AtOnce, PromptConnection
from mdsvc.listening.requests import Handler, PlainRequest, RoutedRequest, spoken
from mdsvc.override import override

BACKLOG = 1024
"""Connections that wait to be taken: a crowd that comes at once shuts nobody out for a second."""


class Answering(NamedTuple):
    """Whoever answers all requests, and may know some answers at once."""

    handle: Handler
    at_once: AtOnce | None = None


_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)
_ANSWERS = {
    HTTPStatus.BAD_REQUEST: "expected an HTTP/1.1 request\n",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the server has failed\n",
}

_log = logging.getLogger(__name__)


_MAC_SECONDS = 1.0
"""How long a connection's MAC address is not asked for again."""


class Door(Protocol):
    """Where connections come in, if that says more of a peer than its address."""

    network: str
    is_open: bool

    async def mac(self, ip: str) -> str | None:
        """The MAC address of a peer, of those that have one. Raises Unavailable, Unresolved."""


class Crowd:
    """How many connections are open: of each peer, 0 being no limit, and in all.

    One too many is hung up on at once: a peer that holds many keeps nobody else out.
    """

    def __init__(self) -> None:
        self.most_of_a_peer = 0
        self.refused: Callable[[str], None] = lambda _: None
        self._peers: Counter[str | None] = Counter()

    def come(self, peer: str | None) -> None:
        self._peers[peer] += 1

    def go(self, peer: str | None) -> None:
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    def takes(self, peer: str | None, file: int) -> bool:
        """Whether there is room for the connection of that peer by that file; ``refused`` is told
        which limit it is over. Peers without an address are not told apart.
        """
        if not leaves(file):
            self.refused("files")
        elif peer and self.most_of_a_peer and self._peers[peer] > self.most_of_a_peer:
            self.refused("connections")
        else:
            return True
        return False


def _peer(transport: asyncio.Transport, door: Door | None) -> str | None:
    """Whose connection it is: networks may have the same addresses."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return None
    return f"{name[0]} on {door.network}" if door else str(name[0])


class _Connection(PromptConnection):
    """One connection. Nothing of what was sent is reflected."""

    __slots__ = ("_mac", "_mac_until", "crowd", "door", "peer", "when_lost")

    def __init__(self, door: Door | None, server: _Server, *args: Any, **kwargs: Any) -> None:
        super().__init__(server, *args, **kwargs)
        self.crowd = server.crowd
        self.at_once = None if door else server.at_once
        self.peer: str | None = None
        self.door = door
        self._mac: str | None = None
        self._mac_until = 0.0
        self.when_lost: Callable[[], None] | None = None  # one request is worked on at a time

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None, "it is made"
        self.peer = _peer(self.transport, self.door)
        self.crowd.come(self.peer)
        file = self.transport.get_extra_info("socket").fileno()
        if (self.door and not self.door.is_open) or not self.crowd.takes(self.peer, file):
            self.transport.abort()

    async def mac(self, ip: str) -> str | None:
        """The peer's, from at most a moment ago: the connection is one and the same."""
        if self.door and monotonic() >= self._mac_until:
            self._mac = await self.door.mac(ip)
            self._mac_until = monotonic() + _MAC_SECONDS
        return self._mac

    @property
    def is_pipelined(self) -> bool:
        """Whether more requests have come by it than the one that is worked on. Clients of metadata
        do no such thing; who does gets no more turns than others.
        """
        return bool(self._messages)

    @property
    def network(self) -> str:
        """The door's."""
        assert self.door, "else nothing is known of the arrival"
        return self.door.network

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.crowd.go(self.peer)
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


def connection_of(request: web.BaseRequest) -> _Connection:
    """The one by which a request came."""
    connection = request.protocol
    assert isinstance(connection, _Connection), "the server is run by a Runner"
    return connection


def arrival_of(request: web.BaseRequest) -> _Connection | None:
    """The connection by which a request came, where that says more than the peer's address."""
    connection = connection_of(request)
    return connection if connection.door else None


@contextmanager
def watched(request: web.BaseRequest, when_lost: Callable[[], None]) -> Iterator[None]:
    """Within the block, call it once the peer has hung up, or did so before."""
    connection = connection_of(request)
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

    crowd: Crowd
    at_once: AtOnce | None = None

    @override
    def __call__(self, door: Door | None = None) -> web.RequestHandler:
        return _Connection(door, self, loop=self._loop, **self._kwargs)

    @override
    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return PlainRequest(message, payload, protocol, writer, task, self._loop)


class Runner(web.BaseRunner):
    """Runs an application, or who answers all requests, on such connections, in a ``crowd``."""

    def __init__(self, door: web.Application | Answering, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.crowd = Crowd()
        self.reply_ttl = 0  # of doors that open later
        self._door = door
        self._plain: web.AppRunner | None = None

    @override
    async def shutdown(self) -> None:
        if self._plain:
            await self._plain.shutdown()

    async def open(self, door: Door, sock: socket.socket) -> asyncio.Server:
        """Answer at a listening socket; it is closed with what this gives."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(partial(self._made(), door), sock=sock, backlog=BACKLOG)

    def abort(self, door: Door) -> None:
        """Hang up on all that have come in by a door."""
        for connection in self._made().connections:
            if connection.door is door and connection.transport:
                connection.transport.abort()

    def _made(self) -> Any:
        assert self.server, "it is set up"
        return self.server

    @override
    async def _make_server(self) -> web.Server:
        if not isinstance(self._door, web.Application):
            server = self._crowded(_Server(spoken(self._door.handle), **self._kwargs))
            server.at_once = self._door.at_once
            return server
        self._plain = web.AppRunner(self._door)
        await self._plain.setup()
        plain = self._plain.server
        assert plain, "it is set up"
        door = self._door
        make = partial(door._make_request, _cls=RoutedRequest)  # noqa: SLF001  # there is no other
        handle = spoken(plain.request_handler)
        return self._crowded(_Server(handle, request_factory=make, **self._kwargs))

    def _crowded(self, server: _Server) -> _Server:
        server.crowd = self.crowd
        return server

    @override
    async def _cleanup_server(self) -> None:
        if self._plain:
            await self._plain.cleanup()
