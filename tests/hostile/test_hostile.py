"""Whatever one guest does: others are answered, nothing is 500, no traceback is logged, nothing is
reflected, and memory returns. `MDSVC_HOSTILE_LONG=1` does all of it ten times as much.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.hostile.conftest import HOSTILE, OTHER, UUIDS, Server
from tests.hostile.requests import BROKEN, GET, HELD, MARK, ODD, POST, SPELLED, WAIT

TIMES = 10 if os.environ.get("MDSVC_HOSTILE_LONG") else 1


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


@asynccontextmanager
async def hardly_any_cpu(pid: int) -> AsyncIterator[None]:
    """The server stands still for nine tenths of the time, as where others have all of its CPU."""

    async def hold() -> None:
        try:
            while True:
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(0.09)
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(0.01)
        finally:
            os.kill(pid, signal.SIGCONT)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.wait([holding])


async def test_where_the_cpu_is_short_everybody_is_answered_in_the_end(server: Server) -> None:
    """Nobody is hung up on: what a guest may ask is answered late, and beyond that there is 429."""
    async with hardly_any_cpu(server.pid):
        asked = [server.ask("/openstack", peer=peer) for peer in (HOSTILE, OTHER) * 100]
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
        asked = [server.ask("/openstack") for _ in range(100)]
        for reply in await asyncio.gather(*asked):
            assert reply.status == 200 or reply.headers["Retry-After"]


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
