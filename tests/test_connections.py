"""Connections: what is no HTTP costs one line at debug, and is answered without being repeated."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from mdsvc.listening.connections import Runner
from mdsvc.listening.files import SPARE_FILES, none_left
from mdsvc.listening.sockets import Listen, listen
from mdsvc.store.memory import MemoryStore
from tests.http.wire import Wire
from tests.test_server import here

HEAD = b"GET / HTTP/1.1\r\nHost: m\r\n"
NO_HTTP = {
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
    "NUL": b"\0\r\n\r\n",
    "words": b"<script>reflected</script>\r\n\r\n",
    "another version": b"GET /reflected HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /reflected HTTP/1.1\r\n\r\n",
    "a line without end": b"GET /reflected" + 20_000 * b"x" + b" HTTP/1.1\r\n\r\n",
    "a header without end": HEAD + b"X: reflected" + 20_000 * b"x" + b"\r\n\r\n",
    "a header that is none": HEAD + b"reflected \xff\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nreflected",
    "a length and chunks": HEAD
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nreflected\r\n",
    "a request, then noise": HEAD + b"\r\n" + b"\x01reflected\r\n\r\n",
}


@pytest.mark.parametrize("noise", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_400_reflects_nothing_and_is_one_line_at_debug(
    noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with here(MemoryStore()) as ports:
        for port in ports:
            caplog.clear()
            reply = await Wire(port).send(noise)
            assert (reply.status, reply.body) == (400, b"expected an HTTP/1.1 request\n")
            told = [record for record in caplog.records if record.name.startswith("mdsvc.l")]
            assert [record.levelname for record in told] == ["DEBUG"]
            assert told[0].getMessage().startswith("no HTTP request from 127.0.0.1: ")
            assert told[0].getMessage().isprintable()
            assert not any(record.exc_info for record in caplog.records)


CUT_OFF = {
    "in the header": HEAD,
    "in a body that is read": b"POST /openstack/latest/password HTTP/1.1\r\nHost: m\r\n"
    b"Content-Length: 9\r\n\r\nx",
    "in a body that is not": b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\nx",
}


@pytest.mark.parametrize("part", CUT_OFF.values(), ids=CUT_OFF)
async def test_a_connection_that_is_reset_is_no_fault_of_ours(
    part: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with here(MemoryStore()) as ports:
        for port in ports:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(part)
            await asyncio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)  # so that closing it resets it
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_fault_of_our_own_is_told_as_one(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that a broken connection of ours, to a database, would raise."""

    async def fail(_request: web.Request) -> web.Response:
        raise ConnectionResetError("our own")

    app = web.Application()
    app.router.add_get("/", fail)
    runner = Runner(app)
    await runner.setup()
    sock = listen(Listen("127.0.0.1", 0))
    await web.SockSite(runner, sock).start()
    reply = await Wire(sock.getsockname()[1])("/")
    await runner.cleanup()
    assert (reply.status, reply.body) == (500, b"the server has failed\n")
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.exc_info
    assert str(told.exc_info[1]) == "our own"


@contextmanager
def few_files_left(count: int) -> Iterator[None]:
    """So many, as where namespaces have taken the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))
    try:
        yield
    finally:
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_connections_leave_files_to_others_whatever_has_taken_the_rest() -> None:
    async with here(MemoryStore()) as (port, _):
        assert (await Wire(port)("/openstack")).status == 404
        hung_up = pytest.raises((ConnectionError, IndexError))  # there is no status
        with few_files_left(SPARE_FILES - 1), hung_up:
            await Wire(port)("/openstack")
        assert (await Wire(port)("/openstack")).status == 404


async def test_where_no_file_is_left_that_is_a_line_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(none_left)
    try:
        async with here(MemoryStore()) as (port, _):
            sockets = [socket.socket() for _ in range(20)]
            with few_files_left(4):
                for sock in sockets:
                    sock.setblocking(False)
                    sock.connect_ex(("127.0.0.1", port))
                await asyncio.sleep(0.1)
            for sock in sockets:
                sock.close()
            await asyncio.sleep(1.1)  # asyncio looks again by then
            assert (await Wire(port)("/openstack")).status == 404
    finally:
        loop.set_exception_handler(before)
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in told] == ["mdsvc.listening.files"]
    assert told[0].exc_info is None
