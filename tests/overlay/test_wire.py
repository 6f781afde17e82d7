"""What can come over the wire from an upstream: TLS, no HTTP, and half an answer."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from mdsvc.listening.connections import Runner
from tests.overlay.conftest import Start
from tests.test_tls import make

HOST = "/latest/meta-data/hostname"


async def answering(stack: AsyncExitStack, answer: bytes) -> str:
    """The URL of a server that answers everything with these bytes."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_none(
    stack: AsyncExitStack, front: Start, answer: bytes
) -> None:
    door = await front(await answering(stack, answer))
    got = await door.ask(HOST)
    assert got.status == 503
    assert b"half" not in got.body


async def test_cookies_and_other_headers_of_an_answer_go_nowhere(
    stack: AsyncExitStack, front: Start
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok"
    got = await (await front(await answering(stack, answer))).ask(HOST)
    assert (got.status, got.body) == (200, b"ok")
    assert not {"Set-Cookie", "Location"} & set(got.headers)


async def test_an_upstream_with_tls_is_asked_if_it_is_trusted(
    stack: AsyncExitStack, front: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        targets.append(request.path)
        return web.Response(text="by TLS")

    files = make(tmp_path, "nova")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    app = web.Application()
    app.router.add_get(HOST, answer)
    runner = Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    assert (await (await front(url)).ask(HOST)).status == 503
    assert not targets
    monkeypatch.setenv("SSL_CERT_FILE", str(files.certificate))
    assert (await (await front(url)).ask(HOST)).body == b"by TLS"
