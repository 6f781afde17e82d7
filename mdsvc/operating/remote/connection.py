"""Asking one server, over TCP, TLS or a Unix socket: one request a connection.

`http.client` is the standard library's; what is built on asyncio takes several times as long to
import as such a request takes.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from mdsvc.errors import BadInput, MdsvcError
from mdsvc.override import override

CONNECT_SECONDS = 10
ANSWER_SECONDS = 120
"""For how long an answer is waited for: a placement on a busy fleet takes its time."""

_EXPECTED = "http://HOST:PORT, https://HOST:PORT or unix:/PATH"
_KINDS: Mapping[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}


class Answer(NamedTuple):
    """A status, a body, the media type and the entity tag of what it is about."""

    status: int
    body: bytes
    kind: str
    etag: str | None


class Connection:
    """How a server is reached, and as whom. ``url`` as it may be shown."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self._make, self._root = _reached(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(
        self, method: str, target: str, body: bytes | None = None, if_match: str | None = None
    ) -> Answer:
        """One answer, whatever its status. Raises MdsvcError where there is none."""
        headers = {"Accept-Encoding": "identity", "Connection": "close", **self._headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if if_match is not None:
            headers["If-Match"] = if_match
        connection = self._make()
        try:
            self._connect(connection)
            return self._exchange(connection, method, self._root + target, body, headers)
        finally:
            connection.close()

    def _connect(self, connection: HTTPConnection) -> None:
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise MdsvcError(f"--server {self.url}: it cannot be reached: {why}") from None
        connection.sock.settimeout(ANSWER_SECONDS)

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            kind = answer.headers.get_content_type()
            return Answer(answer.status, answer.read(), kind, answer.getheader("ETag"))
        except (OSError, HTTPException, ValueError) as error:
            why = str(error) or type(error).__name__
            unsure = "" if method == "GET" else "; it may be done or not, so look first"
            raise MdsvcError(f"--server {self.url}: no answer: {why}{unsure}") from None


class _UnixConnection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self._path)


def _reached(url: str) -> tuple[Callable[[], HTTPConnection], str]:
    """What makes a connection to a URL, and the path that all paths there begin with.

    Raises BadInput.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unusable(url) from None
    if parts.query or parts.fragment or parts.username is not None:
        raise _unusable(url)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return lambda: _UnixConnection(parts.path), ""
    if parts.scheme not in _KINDS or not host:
        raise _unusable(url)
    kind = _KINDS[parts.scheme]
    return lambda: kind(host, port, timeout=CONNECT_SECONDS), quote(parts.path.rstrip("/"))


def _unusable(url: str) -> BadInput:
    hidden = re.sub(r"//.*@", "//***@", url, flags=re.DOTALL)
    return BadInput(f"--server: expected {_EXPECTED}, got {hidden!r}")
