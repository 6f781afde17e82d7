"""A server that answers what it is told to, in that order, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from typing_extensions import override

JSON = "application/json"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Reply:
    """One answer; without a status the connection is closed instead."""

    status: int | None
    document: object = None
    kind: str = JSON
    etag: str | None = None

    @property
    def body(self) -> bytes:
        document = self.document
        return document if isinstance(document, bytes) else json.dumps(document).encode()


@dataclass(frozen=True)
class Request:
    """What was asked."""

    line: str
    body: bytes
    headers: dict[str, str]


@dataclass
class Scripted:
    """The server's URL, and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.requests]


@contextmanager
def scripted(replies: Sequence[Reply]) -> Iterator[Scripted]:
    """Serves these answers, and no more, for as long as the block lasts."""
    left = list(replies)
    told = Scripted("")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.requests.append(Request(f"{self.command} {self.path}", body, dict(self.headers)))
            reply = left.pop(0)
            if reply.status is None:
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.etag:
                self.send_header("ETag", reply.etag)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # http.server's names

        @override
        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
    assert not left, "not all of it was asked for"
