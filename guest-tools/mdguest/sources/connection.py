"""A connection to a server, made and read within a time that no server can stretch."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mdguest.errors import BadInput
from mdguest.sources.documents import MAX_BYTES, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mdguest.sources.server import Server

TOO_MUCH = f"expected at most {MAX_BYTES} bytes, got more"

_UNDER_WAY = (0, errno.EINPROGRESS)


class Route(NamedTuple):
    """One socket address of a server."""

    server: Server
    family: int
    address: Any


def routes(server: Server, seconds: float) -> list[Route]:
    """The server's addresses. Raises OSError where it has none, or none is found in time."""
    where = server.node, server.port, 0, socket.SOCK_STREAM, 0
    try:
        found = socket.getaddrinfo(*where, socket.AI_NUMERICHOST)
    except UnicodeError as error:  # what is no name of a host, nor of an interface
        raise OSError(f"{shown(server.host)} is no address: {error}") from None
    except socket.gaierror:
        if ":" in server.host:
            raise
        found = _resolved(server, seconds)
    return [Route(server, family, address) for family, _, _, _, address in found]


def _resolved(server: Server, seconds: float) -> list[Any]:
    """A name's addresses. The resolver knows no time limit, so it is left behind if need be."""
    import threading

    found: list[Any] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(server.host, server.port, 0, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(OSError(f"{shown(server.host)}: {error}"))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise socket.timeout(f"{shown(server.host)} was not found within {seconds:g} s")
    return found


class Connection(socket.socket):
    """A connected socket that reads no longer than to a moment, and no more than is allowed.

    This also bounds what http.client does not: bytes that drip in steadily, headers and chunks
    without end, and a chunk of negative size, which it takes for "all there is".
    """

    clock: Callable[[], float]
    expires: float
    allowed = 2 * MAX_BYTES

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settle()
        got = super().recv_into(buffer, nbytes, flags)
        self.allowed -= got
        if self.allowed < 0:
            raise BadInput(TOO_MUCH)
        return got

    def settle(self) -> None:
        """Have the next step end in time. Raises OSError when time is up."""
        left = self.expires - self.clock()
        if left <= 0:
            raise socket.timeout("no whole answer in time")
        self.settimeout(left)


def connect(choices: Sequence[Route], seconds: float) -> tuple[Server, Connection]:
    """Try all routes at once; take the first that connects. Raises OSError."""
    started: list[tuple[Route, Connection]] = []
    refused = OSError("it has no address")
    try:
        for route in choices:
            try:
                started.append((route, _started(route)))
            except OSError as error:  # noqa: PERF203  # one of many may be refused at once
                refused = error
        return _first(started, seconds, refused)
    finally:
        for _, sock in started:
            sock.close()


def _started(route: Route) -> Connection:
    sock = Connection(route.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(route.address)
    if code not in _UNDER_WAY:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _first(
    started: list[tuple[Route, Connection]], seconds: float, refused: OSError
) -> tuple[Server, Connection]:
    """The first that is connected, taken out of ``started``; of several, the first listed."""
    import selectors

    ends = time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        for number, (_, sock) in enumerate(started):
            waiting.register(sock, selectors.EVENT_WRITE, number)
        while waiting.get_map():
            ready = sorted(key.data for key, _ in waiting.select(max(ends - time.monotonic(), 0)))
            if not ready:
                raise socket.timeout(f"no connection within {seconds:g} s")
            for number in ready:
                route, sock = started[number]
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    del started[number]
                    return route.server, sock
                waiting.unregister(sock)
                refused = OSError(code, os.strerror(code))
    raise refused
