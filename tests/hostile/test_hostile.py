"""Whatever one guest does: others are answered, nothing is 500, no traceback is logged, nothing is
reflected, and memory returns. `MDSVC_HOSTILE_LONG=1` does all of it ten times as much.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.hostile.conftest import HOSTILE, Server

TIMES = 10 if os.environ.get("MDSVC_HOSTILE_LONG") else 1
MARK = b"reflected-3e1f"

GET = b"GET /openstack HTTP/1.1\r\nHost: m\r\n"
POST = b"POST /openstack/latest/password HTTP/1.1\r\nHost: m\r\n"

HELD = {
    "silent": b"",
    "half a request line": b"GET /openst",
    "half a header": GET + b"X: " + b"x" * 1000,
    "half a body": POST + b"Content-Length: 100\r\n\r\nab",
    "a chunk that does not come": POST + b"Transfer-Encoding: chunked\r\n\r\n40\r\nab",
    "a report that does not come": (
        b"POST /mdsvc/v1/status HTTP/1.1\r\nHost: m\r\nContent-Length: 2000\r\n\r\n{"
    ),
    "answers that are not read": (GET + b"\r\n") * 200,
    "waits": (b"GET /mdsvc/v1/layout?wait_for_change=true HTTP/1.1\r\nHost: m\r\n\r\n"),
}

BROKEN: dict[str, bytes] = {
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "a chunked that is none": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two transfer encodings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 2\r\n\r\nab",
    "a folded header": GET + b"X: a\r\n " + MARK + b"\r\n\r\n",
    "bare line feeds": b"GET /openstack HTTP/1.1\nHost: m\nX: a\n\n",
    "a bare carriage return": GET + b"X: a\rb: c\r\n\r\n",
    "a null byte": GET + b"X: \0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\nab",
    "a negative length": POST + b"Content-Length: -2\r\n\r\nab",
    "a length without end": POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\nab",
    "a chunk's length without end": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40
    + b"\r\nab",
    "many headers": GET + b"".join(b"X%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "a long header": GET + b"X: " + b"x" * 10**6 + b"\r\n\r\n",
    "a long path": b"GET /" + b"x" * 10**6 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "another's URL": b"GET http://" + MARK + b".example/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "another's name": b"GET / HTTP/1.1\r\nHost: " + MARK + b".example\r\n\r\n",
    "a path that is not there": b"GET /" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a proxy's method": b"CONNECT " + MARK + b":80 HTTP/1.1\r\nHost: m\r\n\r\n",
    "a method that is none": MARK + b" / HTTP/1.1\r\nHost: m\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: m\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an upgrade": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + MARK,
}


async def sent(server: Server, data: bytes) -> bytes:
    """What comes back within a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    came = b""
    try:
        writer.write(data)
        async with asyncio.timeout(0.5):
            while chunk := await reader.read(65536):
                came += chunk
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return came


def check(came: bytes) -> None:
    statuses = [
        int(line.split()[1]) for line in came.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")
    ]
    assert all(status < 500 for status in statuses), came[:200]
    assert MARK not in came


async def test_what_is_broken_gets_one_answer_that_reflects_nothing(server: Server) -> None:
    for data in BROKEN.values():
        check(await sent(server, data))
    await server.other_is_answered()


async def test_what_is_smuggled_is_not_answered(server: Server) -> None:
    """One request was sent, so one answer comes at most."""
    for claim in ("two lengths", "length and chunks", "a chunked that is none"):
        came = await sent(server, BROKEN[claim])
        assert came.count(b"HTTP/1.1 ") <= 1, claim
        assert b"HTTP/1.1 200" not in came, claim


@pytest.mark.parametrize("seed", range(4 * TIMES))
async def test_noise_gets_no_fault(server: Server, seed: int) -> None:
    noise = random.Random(seed)
    requests = [GET + b"\r\n", POST + b"Content-Length: 2\r\n\r\nab", *BROKEN.values()]

    async def one() -> None:
        data = bytearray(noise.choice(requests)[:3000])
        for _ in range(noise.randint(1, 8)):
            at = noise.randrange(len(data))
            data[at : at + noise.randint(0, 3)] = noise.randbytes(noise.randint(0, 3))
        came = await sent(server, bytes(data))
        assert b"HTTP/1.1 500" not in came

    for _ in range(8):
        await asyncio.gather(*(one() for _ in range(20)))
    await server.other_is_answered()


@asynccontextmanager
async def held(server: Server, data: Sequence[bytes]) -> AsyncIterator[None]:
    """Connections on which this was sent, and nothing is read."""
    writers = []
    for each in data:
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except ConnectionError:
            continue
        writers.append(writer)
        writer.write(each)
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize("data", HELD.values(), ids=HELD)
async def test_others_are_answered_while_connections_are_held(server: Server, data: bytes) -> None:
    async with held(server, [data] * 300 * TIMES):
        for _ in range(10):
            await server.other_is_answered()


SETTLED_MB = 16
"""A flood of 1,600 connections that kept 10 KiB of each would take as much each time."""


async def test_memory_returns_after_each_flood(server: Server) -> None:
    async def flood() -> None:
        for data in HELD.values():
            async with held(server, [data] * 200):
                await server.other_is_answered()
        await asyncio.gather(*(sent(server, GET + b"X: " + b"x" * 10**6) for _ in range(50)))

    await flood()
    for _ in range(8 * TIMES):
        before = server.memory()
        await flood()
        if server.memory() < before + SETTLED_MB:
            return
    pytest.fail("each flood takes more")


async def test_a_flood_of_requests_is_turned_away(server: Server) -> None:
    async def flood() -> list[int]:
        return [(await server.ask("/openstack")).status for _ in range(100)]

    flooding = [asyncio.create_task(flood()) for _ in range(8)]
    for _ in range(10):
        await server.other_is_answered()
    statuses = {status for each in await asyncio.gather(*flooding) for status in each}
    assert statuses == {200, 429}


async def test_headers_that_say_who_asks_say_nothing(server: Server) -> None:
    mine = (await server.ask("/latest/meta-data/instance-id")).text
    for name in ("X-Instance-ID", "X-Forwarded-For", "X-Real-IP", "Forwarded"):
        forged = [(name, "127.0.0.2")]
        assert (await server.ask("/latest/meta-data/instance-id", forged)).text == mine


async def test_a_password_is_set_once_however_many_try(server: Server) -> None:
    path = "/openstack/latest/password"
    replies = await asyncio.gather(
        *(server.ask(path, method="POST", body=b"%d" % n, peer=HOSTILE) for n in range(20))
    )
    assert sorted(reply.status for reply in replies) == [200] + [409] * 19


async def test_reports_without_end_cost_no_other_guest(server: Server) -> None:
    async def report() -> set[int]:
        body = b'{"generation": 1, "state": "isolated"}'
        replies = [
            await server.ask("/mdsvc/v1/status", method="POST", body=body) for _ in range(40)
        ]
        return {reply.status for reply in replies}

    reporting = [asyncio.create_task(report()) for _ in range(8)]
    for _ in range(10):
        await server.other_is_answered()
    assert set().union(*await asyncio.gather(*reporting)) <= {200, 429}
