"""The one write-back: a guest posts its encrypted password, once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mdsvc.app import open_store
from mdsvc.listening import bodies
from mdsvc.store import Store
from tests.http.conftest import Serve
from tests.http.guests import HOST, poor
from tests.http.signing import SECRET, signed
from tests.http.wire import CLOSE, Reply, Wire, parse

PASSWORD = "/openstack/2013-04-04/password"
POST = f"POST {PASSWORD} HTTP/1.1\r\n".encode() + CLOSE
TEXT, BYTES = "text/plain; charset=UTF-8", "text/plain; charset=ISO-8859-1"


async def _post(ask: Wire, body: bytes | None, path: str = PASSWORD) -> Reply:
    return await ask(path, method="POST", body=body)


async def test_a_password_can_be_set_once(serve: Serve) -> None:
    ask = await serve()
    unset = await ask(PASSWORD)
    assert (unset.status, unset.type, unset.body) == (200, TEXT, b"")
    for body, status in ((b"first", 200), (b"second", 409), (b"first", 409)):
        reply = await _post(ask, body)
        assert (reply.status, reply.type) == (status, TEXT)
    assert (await ask(PASSWORD)).body == b"first"


async def test_every_version_has_the_same_password(serve: Serve) -> None:
    ask = await serve()
    assert (await _post(ask, b"first", "//openstack/latest//password/")).status == 200
    assert (await _post(ask, b"second")).status == 409
    assert (await ask("/openstack/2025-04-04/password")).body == b"first"


async def test_behind_the_agent_it_is_just_the_same(serve: Serve) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    for body, status in ((b"", 400), (bytes(1021), 400), (b"first", 200), (b"second", 409)):
        reply = await ask(PASSWORD, signed(), method="POST", body=body)
        assert reply.status == status
    assert (await ask(PASSWORD, signed())).body == b"first"


@pytest.mark.parametrize(
    ("size", "status"), [(0, 400), (1, 200), (1020, 200), (1021, 400), (100_000, 400)]
)
async def test_a_password_has_1_to_1020_bytes(serve: Serve, size: int, status: int) -> None:
    ask = await serve()
    assert (await _post(ask, b"x" * size)).status == status
    assert len((await ask(PASSWORD)).body) == (size if status == 200 else 0)
    again = await _post(ask, b"y")
    assert again.status == (409 if status == 200 else 200)


async def test_a_post_without_a_body_is_400(serve: Serve) -> None:
    ask = await serve()
    assert (await _post(ask, None)).status == 400


async def test_any_bytes_come_back_as_they_were_sent(serve: Serve) -> None:
    ask = await serve()
    body = bytes(range(256)) + "pässwört\r\n".encode()
    assert (await _post(ask, body)).status == 200
    reply = await ask(PASSWORD)
    assert (reply.body, reply.type) == (body, BYTES)


def _chunked(*chunks: bytes) -> bytes:
    sized = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + sized


@pytest.mark.parametrize(
    ("claim", "chunks", "status"),
    [
        ("one chunk", [b"secret"], 200),
        ("many chunks", [b"s", b"e", b"cret"], 200),
        ("1020 bytes in chunks", 102 * [bytes(10)], 200),
        ("1021 bytes in chunks", [*(102 * [bytes(10)]), b"x"], 400),
        ("no chunk", [], 400),
    ],
)
async def test_chunked_bodies_are_bodies(
    serve: Serve, claim: str, chunks: list[bytes], status: int
) -> None:
    ask = await serve()
    assert (await ask.send(_chunked(*chunks, b""))).status == status
    assert (await ask(PASSWORD)).body == (b"".join(chunks) if status == 200 else b"")


async def test_a_body_without_end_is_read_no_further_than_it_may_go(serve: Serve) -> None:
    ask = await serve()
    assert (await _first_reply(ask, _chunked(*(200 * [bytes(10)])))).status == 400


async def test_a_byte_too_many_is_noticed_however_late_it_comes(serve: Serve) -> None:
    ask = await serve()
    request = POST + b"Content-Length: 1021\r\n\r\n" + bytes(1020)
    assert (await _first_reply(ask, request, trickle=b"x")).status == 400
    assert (await ask(PASSWORD)).body == b""


async def test_chunks_that_are_none_are_400(serve: Serve) -> None:
    ask = await serve()
    reply = await ask.send(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert reply.status == 400


async def test_a_body_that_does_not_decompress_is_400(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    ask = await serve()
    headers = b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\n"
    assert (await ask.send(POST + headers + b"secret")).status == 400
    bomb = gzip.compress(bytes(10_000_000))
    headers = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert (await ask.send(POST + headers + bomb)).status == 400
    assert (await ask(PASSWORD)).body == b""


@pytest.mark.parametrize("length", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
async def test_a_body_that_stalls_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, length: bytes
) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.05)
    ask = await serve()
    assert (await _first_reply(ask, POST + length + b"\r\n\r\n2\r\nab\r\n")).status == 400
    assert (await ask(PASSWORD)).body == b""


async def test_a_body_that_trickles_is_not_waited_for_either(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_SECONDS", 0.1)
    ask = await serve()
    request = POST + b"Content-Length: 1000\r\n\r\n"
    assert (await _first_reply(ask, request, trickle=b"x" * 900)).status == 400


async def test_a_guest_that_hangs_up_has_set_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    ask = await serve()
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(POST + b"Content-Length: 10\r\n\r\nabc")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert (await ask(PASSWORD)).body == b""
    assert not caplog.records


async def _first_reply(ask: Wire, request: bytes, trickle: bytes = b"") -> Reply:
    """The reply to a request of which the end never comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    trickling = asyncio.create_task(_trickle(writer, request, trickle))
    try:
        async with asyncio.timeout(30):
            return parse(await reader.readuntil(b"\r\n\r\n"))
    finally:
        trickling.cancel()
        writer.close()
        await writer.wait_closed()


async def _trickle(writer: asyncio.StreamWriter, request: bytes, trickle: bytes) -> None:
    writer.write(request)
    for byte in trickle:
        await asyncio.sleep(0.01)
        writer.write(bytes([byte]))


@pytest.fixture(params=["memory://", "sqlite:///{path}/guests.db"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of the program's own, with a guest on it."""
    opened = await open_store(request.param.format(path=tmp_path))
    async with opened.transaction() as transaction:
        await transaction.add_host(HOST)
        await transaction.add_instance(poor())
    yield opened
    await opened.close()


async def test_of_many_posts_at_the_same_time_one_is_taken(serve: Serve, store: Store) -> None:
    ask = await serve(store)
    bodies = [f"password {number}".encode() for number in range(8)]
    replies = await asyncio.gather(*(_post(ask, body) for body in bodies))
    assert sorted(reply.status for reply in replies) == [200, *(7 * [409])]
    taken = [body for body, reply in zip(bodies, replies, strict=True) if reply.status == 200]
    assert (await ask(PASSWORD)).body == taken[0]


@pytest.mark.parametrize(("version", "invited"), [("1.1", True), ("1.0", False)])
async def test_who_waits_for_it_is_told_that_the_body_is_wanted(
    serve: Serve, version: str, invited: bool
) -> None:
    """RFC 9110, 10.1.1: HTTP/1.0 knows no such word, and would take it for the answer."""
    ask = await serve()
    head = f"POST /openstack/latest/password HTTP/{version}\r\nHost: m\r\nConnection: close\r\n"
    sent = f"{head}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab".encode()
    assert (await ask.send(sent)).status == (100 if invited else 200)
