"""What holds at every listener, whoever is expected there: what is said of the server, and what is
taken for a request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mdsvc import server
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore

KINDS: dict[str, bytes] = {
    "a document or a page": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "one of HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "a probe": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "figures": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a listing": b"GET /v1/hosts HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a stream": b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "the head of one": b"HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a file of the page's": b"GET /assets/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a login": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b",
    "a path that is not there": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method that is not": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a proxy's": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "of everything": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another's name": b"GET /v1/hosts HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a body that is too long": b"POST /v1/fit HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n",
    "a body that is none": b"POST /v1/fit HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    "nova's question": b"POST /vendordata/layout HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "an expectation": b"GET /login HTTP/1.1\r\nHost: localhost\r\nExpect: reflected\r\n\r\n",
    "one where nothing is": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n"
    b"Expect: reflected\r\n\r\n",
}
NO_REQUESTS: dict[str, bytes] = {
    "noise": b"\x16\x03\x01\x02\r\n\r\n",
    "a header that is too long": b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no host but in the target": b"GET http://localhost/ HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/2 without a host": b"GET /healthz HTTP/2.0\r\n\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/0.9 that says so": b"GET /healthz HTTP/0.9\r\nHost: localhost\r\n\r\n",
}
TELLING = re.compile(rb"^server:|aiohttp|python|reflected", re.IGNORECASE | re.MULTILINE)


@asynccontextmanager
async def every_listener(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Where each is, by who is expected there, of a server with a store and of one before Nova."""
    ours = Settings(
        guest=("127.0.0.1:0", f"unix:{folder}/guests"),
        operator=f"unix:{folder}/operator",
        vendordata="127.0.0.1:0",
    )
    page = Settings(guest=(f"unix:{folder}/more",), operator="127.0.0.1:0")
    overlay = Settings(
        guest=("127.0.0.1:0",),
        operator="127.0.0.1:0",
        identity="neutron",
        shared_secret=("s",),
        upstream=("http://127.0.0.1:9",),
    )
    store = MemoryStore()
    async with (
        server.listeners(ours, store) as lines,
        server.listeners(page, store) as more,
        server.overlay_listeners(overlay) as beside_nova,
    ):
        all_lines = [*lines, *more, *beside_nova]
        yield {
            line: re.findall(r"(unix:\S+|\d+\.\d+\.\d+\.\d+:\d+)", line)[0] for line in all_lines
        }


async def answer(where: str, request: bytes) -> bytes:
    """What comes until the server ends it, or nothing more has come for a moment."""
    if where.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(where.removeprefix("unix:"))
    else:
        reader, writer = await asyncio.open_connection(*where.split(":"))
    came = b""
    try:
        writer.write(request)
        came = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        async with asyncio.timeout(0.05):
            came += await reader.read(65536)
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return came


async def test_no_answer_says_what_answers_or_repeats_what_was_asked(tmp_path: Path) -> None:
    async with every_listener(tmp_path) as listeners:
        for line, where in listeners.items():
            for kind, request in (KINDS | NO_REQUESTS).items():
                came = await answer(where, request)
                assert came.startswith(b"HTTP/"), (line, kind)
                head, _, body = came.partition(b"\r\n\r\n")
                assert not TELLING.search(head), (line, kind, head)
                assert b"reflected" not in body, (line, kind, body)


@pytest.mark.parametrize("request_", NO_REQUESTS.values(), ids=NO_REQUESTS)
async def test_what_is_no_request_is_400_everywhere(request_: bytes, tmp_path: Path) -> None:
    """RFC 9112, 3.2: who speaks HTTP/1.1 names one host."""
    async with every_listener(tmp_path) as listeners:
        for line, where in listeners.items():
            came = await answer(where, request_)
            assert came.split()[1] == b"400", line
            assert came.endswith(b"\r\n\r\nexpected an HTTP/1.1 request\n"), line


async def test_who_speaks_an_older_http_need_name_none(tmp_path: Path) -> None:
    async with every_listener(tmp_path) as listeners:
        for line, where in listeners.items():
            came = await answer(where, b"GET /healthz HTTP/1.0\r\n\r\n")
            is_guests = line.startswith("guests")
            assert (
                (came.split()[1] in (b"400", b"404")) if is_guests else (came.split()[1] == b"200")
            )
            assert not came.endswith(b"expected an HTTP/1.1 request\n"), line
