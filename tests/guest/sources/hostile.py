"""A server on the loopback that answers with whatever bytes it is told to, at its own pace."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from mdguest.sources.patience import Patience

LAYOUT = "/mdsvc/v1/layout"
META_DATA = "/openstack/latest/meta_data.json"
LEAF = "/latest/meta-data/cpu/dedicated"
TOKEN = "/latest/api/token"


def http(body: bytes | str = b"", status: int = 200, *headers: str) -> bytes:
    """An answer as it should be."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


NOT_THERE = http("no such thing", 404)


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Message
    body: bytes


Act = Callable[["Hostile", socket.socket], None]


@dataclass
class Hostile:
    """``answers`` by path; of several, each is given once and the last one for ever."""

    listener: socket.socket
    answers: dict[str, list[bytes | Act]] = field(default_factory=dict)
    otherwise: bytes | Act = NOT_THERE
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def serve(self) -> None:
        """Answer until the listener is shut, each connection in a thread of its own."""
        threads = []
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._answer, args=(sock,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _answer(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):  # a client may have had enough
            asked = _read(sock)
            if asked is None:
                return
            self.asked.append(asked)
            left = self.answers.get(asked.path.partition("?")[0], [self.otherwise])
            answer = left[0] if len(left) == 1 else left.pop(0)
            if callable(answer):
                answer(self, sock)
            else:
                sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):  # a socket that is closed with unread bytes resets
                pass


def _read(sock: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, _, rest = head.partition(b"\r\n")
    headers = BytesHeaderParser().parsebytes(rest)
    while len(body) < int(headers.get("Content-Length", 0)):
        body += sock.recv(4096)
    method, path, _ = line.decode().split(" ")
    return Asked(method, path, headers, body)


@contextlib.contextmanager
def hostile() -> Iterator[Hostile]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Hostile(listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            goes(server)
            thread.join()


# ---- acts ----


def goes(server: Hostile, _sock: socket.socket | None = None) -> None:
    """Nobody is there any more; who is connected is not answered."""
    with contextlib.suppress(OSError):  # it may have gone already
        server.listener.shutdown(socket.SHUT_RDWR)


def hangs(after: bytes = b"") -> Act:
    """Sends this much, and then nothing."""

    def act(server: Hostile, sock: socket.socket) -> None:
        sock.sendall(after)
        server.over.wait(60)

    return act


def drips(data: bytes, every: float = 0.02) -> Act:
    """Sends a byte at a time, so that each one comes soon after the last."""

    def act(server: Hostile, sock: socket.socket) -> None:
        for number in range(len(data)):
            sock.sendall(data[number : number + 1])
            if server.over.wait(every):
                break

    return act


def floods(head: bytes, block: bytes, times: int) -> Act:
    def act(server: Hostile, sock: socket.socket) -> None:
        sock.sendall(head)
        for _ in range(times):
            sock.sendall(block)

    return act


# ---- patience ----


@dataclass
class Clock:
    """Time that passes where somebody sleeps, beside the real one."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def patience(self, **more: Any) -> Patience:
        """Short enough for tests, with the longest pauses that chance can bring."""

        def now() -> float:
            return time.monotonic() + sum(self.slept)

        short = Patience(connect=1.0, request=3.0, clock=now, sleep=self.sleep, chance=lambda: 1.0)
        return replace(short, **more)
