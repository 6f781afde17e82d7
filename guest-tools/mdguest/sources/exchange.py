"""One request and its answer over HTTP/1.1, from a server that is not trusted to end it.

No proxy is asked whatever the environment says, and no redirect is followed: metadata has no
reason to be elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mdguest import __version__
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.sources.connection import TOO_MUCH, connect, routes
from mdguest.sources.documents import MAX_BYTES, shown

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping
    from http.client import HTTPResponse

    from mdguest.sources.connection import Connection
    from mdguest.sources.patience import Patience
    from mdguest.sources.server import Server


_NAME = f"mdguest/{__version__}"


class Request(NamedTuple):
    """What is asked; ``path`` is below the server's prefix."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


class Reply(NamedTuple):
    """A whole answer. ``retry_after`` is 0 where the server gives no number of seconds."""

    status: int
    retry_after: float
    body: bytes


def exchange(server: Server, request: Request, patience: Patience, expires: float) -> Reply:
    """Ask once; the answer is whole by the moment ``expires``.

    Raises Unreachable where nobody answers the door, Unavailable where the answer breaks off or
    does not come, BadInput where it is none that a metadata server gives.
    """
    where = f"{server}{request.path}"
    sock = _connected(server, patience, expires)
    sock.clock, sock.expires = patience.clock, expires
    from http.client import HTTPException, IncompleteRead

    try:
        return _answer(sock, server, request)
    except (OSError, IncompleteRead) as error:
        raise Unavailable(f"{where}: the answer broke off: {reason(error)}") from None
    except (HTTPException, ValueError) as error:
        message = f"{where}: expected an answer in HTTP, got {shown(str(error))}"
        raise BadInput(message) from None
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
    finally:
        sock.close()


def reason(error: Exception) -> str:
    """What went wrong, without Python's number for it."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _connected(server: Server, patience: Patience, expires: float) -> Connection:
    seconds = max(min(patience.connect, expires - patience.clock()), 0)
    try:
        return connect(routes(server, seconds), seconds)[1]
    except OSError as error:
        raise Unreachable(f"{server}: {reason(error)}") from None


def _answer(sock: Connection, server: Server, request: Request) -> Reply:
    from contextlib import closing
    from http.client import HTTPConnection

    headers = {"Host": server.host_header, "Connection": "close", "User-Agent": _NAME}
    headers.update(request.headers)
    with closing(HTTPConnection(server.host, server.port)) as asking:
        sock.settle()
        asking.sock = sock
        path = f"{server.prefix}{request.path}"
        asking.request(request.method, path, request.body or None, headers)
        with closing(asking.getresponse()) as response:
            after = response.getheader("Retry-After") or ""
            seconds = float(after) if after.isdecimal() and len(after) < 6 else 0.0
            return Reply(response.status, seconds, _body(response, sock))


def _body(response: HTTPResponse, sock: Connection) -> bytes:
    """The whole body: a list of CPUs that lost its end would still be a list of CPUs."""
    length = _declared(response)
    if length is not None:
        return _exactly(response.fp, length, sock)
    body = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise BadInput(TOO_MUCH)
    return body


def _declared(response: HTTPResponse) -> int | None:
    """The length that the server declares, if it does so. http.client believes whatever it says."""
    coding = response.getheader("Content-Encoding", "identity")
    transfer = response.getheader("Transfer-Encoding", "chunked")
    for name, value, known in (("Content", coding, "identity"), ("Transfer", transfer, "chunked")):
        if value.strip().lower() != known:
            raise BadInput(f"expected no {name}-Encoding but {known}, got {shown(value)}")
    if response.chunked:
        return None
    lengths = set(response.headers.get_all("Content-Length", []))
    if len(lengths) > 1 or not all(text.isdecimal() and len(text) < 16 for text in lengths):
        raise BadInput(f"expected one Content-Length, got {shown(', '.join(sorted(lengths)))}")
    length = int(lengths.pop()) if lengths else None
    if length is not None and length > MAX_BYTES:
        raise BadInput(f"{TOO_MUCH}: a Content-Length of {length}")
    return length


def _exactly(stream: io.BufferedReader, length: int, sock: Connection) -> bytes:
    from http.client import IncompleteRead

    body = stream.read(length)
    if len(body) < length:
        raise IncompleteRead(body, length - len(body))
    sock.expires = 0.0  # only what has come along already is looked at
    try:
        more = stream.peek()
    except OSError:
        more = b""
    if more:
        raise BadInput(f"expected a body of {length} bytes as declared, got more")
    return body
