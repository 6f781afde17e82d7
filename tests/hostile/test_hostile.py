"""Whatever one guest does: others are answered, nothing is 500, no traceback is logged, nothing is
reflected, and memory returns. `MDSVC_HOSTILE_LONG=1` does all of it ten times as much.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.hostile.conftest import HOSTILE, OTHER, UUIDS, Server

TIMES = 10 if os.environ.get("MDSVC_HOSTILE_LONG") else 1
MARK = b"reflected-3e1f"

GET = b"GET /openstack HTTP/1.1\r\nHost: m\r\n"
POST = b"POST /openstack/latest/password HTTP/1.1\r\nHost: m\r\n"

WAIT = "/mdsvc/v1/layout?wait_for_change=true"

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
    "a chunk a time, without end": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\na\r\n" * 50,
    "an expectation without a body": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "an upgrade that says nothing": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "requests without end": (GET + b"\r\n") * 2000,
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
    "an upgrade to HTTP/2": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    "an upgrade with a body": POST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab"
    + MARK,
    "an authority": b"GET " + MARK + b".example:80 HTTP/1.1\r\nHost: m\r\n\r\n",
    "an authority of CONNECT, and more": b"CONNECT m:80 HTTP/1.1\r\nHost: m\r\n\r\nGET /x\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n",
    "an asterisk that is asked for": b"GET * HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL with a user": b"GET http://u:" + MARK + b"@m/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL of another scheme": b"GET file:///etc/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL that is none": b"GET http://[::1/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL whose port is none": b"GET http://m:99999999/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL with another's zone": b"GET http://[fe80::1%25"
    + MARK
    + b"]/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a zone in the name": b"GET / HTTP/1.1\r\nHost: [fe80::a9fe:a9fe%25" + MARK + b"]\r\n\r\n",
    "a zone that is none": b"GET / HTTP/1.1\r\nHost: [fe80::1%]]" + MARK + b"\r\n\r\n",
    "a name without end": b"GET / HTTP/1.1\r\nHost: " + b"a." * 3000 + MARK + b"\r\n\r\n",
    "a name that is none": b"GET / HTTP/1.1\r\nHost: \xff\x00@" + MARK + b"\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n\r\n",
    "an empty name": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "two names": b"GET / HTTP/1.1\r\nHost: m\r\nHost: " + MARK + b"\r\n\r\n",
    "a null in the path": b"GET /openstack\0" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a null that is escaped": b"GET /openstack/%00" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "no ASCII in the path": b"GET /\xff\xfe\xc3\xa9/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "no UTF-8 that is escaped": b"GET /%ff%fe/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "half an escape": b"GET /%" + MARK + b"%2 HTTP/1.1\r\nHost: m\r\n\r\n",
    "an escape twice": b"GET /%252e%252e/%255c" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a surrogate that is escaped": b"GET /%ed%a0%80/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "line ends that are escaped": b"GET /%0d%0aX:%20" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a way up": b"GET /openstack/../../" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a query without end": b"GET /openstack?" + b"a=b&" * 10**5 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a query of many": b"GET /mdsvc/v1/layout?" + b"&" * 7000 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a wait that is none": b"GET /mdsvc/v1/layout?wait_for_change=true&timeout_sec="
    + MARK
    + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "an etag that is none": b"GET /mdsvc/v1/layout?wait_for_change=true&last_etag=%00"
    + MARK
    + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "another expectation": POST + b"Expect: " + MARK + b"\r\nContent-Length: 2\r\n\r\nab",
    "an expectation of what is not read": GET + b"Expect: 100-continue\r\n\r\n",
    "a chunk's extension": POST
    + b"Transfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 10**5
    + b"\r\nab\r\n0\r\n\r\n",
    "a trailer": POST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nX: "
    + MARK
    + b"\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /openstack/latest/password HTTP/1.0\r\n"
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a body that is packed": POST
    + b"Content-Encoding: gzip\r\nContent-Length: 2000\r\n\r\n"
    + bytes(2000),
    "a length in GET": GET + b"Content-Length: 5\r\n\r\nGET /" + MARK,
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


SPELLED = (
    "/openstack/latest/meta_data.json",
    "//openstack//latest///meta_data.json/",
    "/openstack/latest/meta%5fdata.json",
    "/%6fpenstack/latest/meta_data.json",
    "http://m/openstack/latest/meta_data.json",
)
ODD = (
    "/openstack%2flatest%2fmeta_data.json",
    "/openstack/latest/../latest/meta_data.json",
    "/openstack/latest/%2e%2e/latest/meta_data.json",
    "/openstack/latest/meta_data.json%00",
    "/openstack/latest/meta_data.json%0a",
    "/openstack/latest/meta_data.json;x",
    "/openstack/latest\\meta_data.json",
    "/openstack/latest/META_DATA.JSON",
    "/openstack/%256catest/meta_data.json",
)


async def test_however_a_path_is_spelled_it_is_the_askers_own_or_nothing(server: Server) -> None:
    for target in (*SPELLED, *ODD):
        reply = await server.ask(target)
        assert UUIDS[OTHER].encode() not in reply.body, target
        if target in SPELLED or reply.status == 200:
            assert reply.json["uuid"] == UUIDS[HOSTILE], target
        else:
            assert reply.status in (400, 404), target


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
async def held(
    server: Server, data: Sequence[bytes], peers: Sequence[str] = (HOSTILE,)
) -> AsyncIterator[None]:
    """Connections on which this was sent, and nothing is read; from these addresses in turn."""
    writers = []
    for at, each in enumerate(data):
        local = (peers[at % len(peers)], 0)
        try:
            _reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, local_addr=local
            )
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


async def test_thousands_of_idle_connections_keep_nobody_out(server: Server) -> None:
    """Of many addresses, of which each has fewer than a peer may have; those of one are bounded."""
    async with AsyncExitStack() as stack:
        for net in range(1, 11 * TIMES):
            peers = [f"127.0.{net}.{n}" for n in range(1, 251)]
            await stack.enter_async_context(held(server, [b""] * len(peers), peers))
        await stack.enter_async_context(held(server, [b""] * 1000))
        for _ in range(10):
            await server.other_is_answered()


async def test_requests_that_do_not_wait_for_answers_end_with_the_first_refused(
    server: Server,
) -> None:
    async def flood() -> bytes:
        came = b""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write((GET + b"\r\n") * 2000)
            while chunk := await reader.read(65536):
                came += chunk
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return came

    async with asyncio.timeout(120):
        flooding = [asyncio.create_task(flood()) for _ in range(20)]
        for _ in range(10):
            await server.other_is_answered()
        for came in await asyncio.gather(*flooding):
            assert came.count(b"HTTP/1.1 429 ") <= 1
            assert came.count(b"HTTP/1.1 200 ") < 2000


async def until_answered(server: Server, target: str) -> None:
    """The guest itself is answered again, once it has asked no more for a while."""
    for _ in range(200):
        if (await server.ask(target)).status == 200:
            return
        await asyncio.sleep(0.2)
    pytest.fail("what it had begun is held against it for ever")


async def test_a_flood_of_waits_is_turned_away_and_forgotten(server: Server) -> None:
    async with held(server, [HELD["waits"]] * 100):
        await server.other_is_answered()
    async with asyncio.timeout(120):
        waits = [asyncio.create_task(server.ask(WAIT)) for _ in range(40)]
        refused: list[int] = []
        while len(refused) < 40 - 16:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            refused += [each.result().status for each in done]
            waits = [each for each in waits if each not in done]
        assert set(refused) == {429}
        assert (await server.ask(f"{WAIT}&timeout_sec=1", peer=OTHER)).status == 200
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
        await until_answered(server, f"{WAIT}&timeout_sec=1")


async def test_a_token_is_good_for_nobody_else(server: Server) -> None:
    ttl = [("X-aws-ec2-metadata-token-ttl-seconds", "60")]
    token = await server.ask("/latest/api/token", ttl, method="PUT", peer=OTHER)
    brought = [("X-aws-ec2-metadata-token", token.text)]
    replayed = await asyncio.gather(*(server.ask("/openstack", brought) for _ in range(20)))
    assert {reply.status for reply in replayed} == {401}
    assert all(MARK not in reply.body and token.body not in reply.body for reply in replayed)
    assert (await server.ask("/openstack", brought, peer=OTHER)).status == 200


async def test_headers_that_say_who_asks_say_nothing(server: Server) -> None:
    for name in (
        "X-Instance-ID",
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "Via",
        "X-Tenant-ID",
    ):
        for value in (OTHER, f"for={OTHER}", UUIDS[OTHER]):
            reply = await server.ask("/openstack/latest/meta_data.json", [(name, value)])
            assert reply.json["uuid"] == UUIDS[HOSTILE], name


async def test_a_password_is_set_once_however_many_try(server: Server) -> None:
    path = "/openstack/latest/password"
    replies = await asyncio.gather(
        *(server.ask(path, method="POST", body=b"%d" % n, peer=HOSTILE) for n in range(20))
    )
    assert sorted(reply.status for reply in replies) == [200] + [409] * 19


async def test_passwords_that_race_are_each_guests_own(server: Server) -> None:
    path = "/openstack/latest/password"
    for _ in range(2):
        await asyncio.gather(
            *(
                server.ask(path, method="POST", body=f"{peer}-{n}".encode(), peer=peer)
                for n in range(20)
                for peer in (HOSTILE, OTHER)
            )
        )
    kept = [(await server.ask(path, peer=peer)).text for peer in (HOSTILE, OTHER)]
    assert [text.partition("-")[0] for text in kept] == [HOSTILE, OTHER]
    for peer, text in zip((HOSTILE, OTHER), kept, strict=True):
        late = await server.ask(path, method="POST", body=b"late", peer=peer)
        assert (late.status, (await server.ask(path, peer=peer)).text) == (409, text)


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
