"""What hostile guests do, each as a task that goes on until it is cancelled.

Run as a process of its own, which is told ``on NAME`` and ``off`` on its standard input, and says
``ready`` or ``off FAULTS``: how many answers of a fault's status it was given.
"""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import NamedTuple

GUESTS = tuple(f"127.0.2.{n}" for n in range(1, 5))
"""Those that attack, as the store has them."""

STRANGERS = tuple(f"127.0.3.{n}" for n in range(1, 51))

RATE = 200
"""Requests a second of an attack that sends requests: more than all limits of its guests."""

HELD = 400
"""Connections of an attack that holds some: as many of each guest as it may have, less a few."""

IDLE = 4000
MOST_BYTES = 1_000_000

HEAD = "HTTP/1.1\r\nHost: 169.254.169.254\r\n"
GET = f"GET /openstack/latest/meta_data.json {HEAD}".encode()
POST = f"POST /openstack/latest/password {HEAD}".encode()
STATUS = f"POST /mdsvc/v1/status {HEAD}".encode()
WAIT = f"GET /mdsvc/v1/layout?wait_for_change=true {HEAD}\r\n".encode()
TOKEN = b"AQAAAAB_________f3R5bWVkc3ZjLWJlbmNoLW5vLXRva2VuLWF0LWFsbA"

SMUGGLED = (
    POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST + b"Content-Length : 2\r\n\r\nab",
    GET + b"X: a\r\n b\r\n\r\n",
    GET.replace(b"/openstack", b"http://evil.example/openstack", 1) + b"\r\n",
)
SPOOFED = (
    GET + b"X-Forwarded-For: 127.0.1.1\r\nForwarded: for=127.0.1.1\r\nX-Real-IP: 127.0.1.1\r\n\r\n",
    GET + b"X-Instance-ID: a\r\nX-Tenant-ID: p\r\nX-Instance-ID-Signature: 0\r\n\r\n",
)


class Attack(NamedTuple):
    """``run`` does it on a port; ``what`` says how much of it."""

    what: str
    run: Callable[[Attackers], Awaitable[None]]


class Attackers:
    """All connections of an attack."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.faults = 0
        self._random = random.Random(1)
        self._turn = count()

    def peer(self, peers: tuple[str, ...]) -> str:
        """The next one of these addresses."""
        return peers[next(self._turn) % len(peers)]

    async def connect(self, peer: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((peer, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=sock)

    async def once(self, data: bytes, peers: tuple[str, ...] = GUESTS) -> None:
        """Send this, and look at what comes back within a moment."""
        with suppress(OSError, TimeoutError):
            reader, writer = await self.connect(self.peer(peers))
            try:
                async with asyncio.timeout(1):
                    writer.write(data)
                    came = await reader.read(MOST_BYTES)
                self.faults += came.startswith((b"HTTP/1.1 500", b"HTTP/1.1 503"))
            finally:
                writer.transport.abort()

    async def often(self, requests: Iterator[bytes], rate: int = RATE) -> None:
        """One each so many, whatever becomes of the others."""
        loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for sent in count():
                await asyncio.sleep(begun + sent / rate - loop.time())
                group.create_task(self.once(next(requests)))

    async def hold(
        self,
        first: bytes,
        more: bytes,
        read: int,
        many: int = HELD,
        peers: tuple[str, ...] = GUESTS,
    ) -> None:
        """So many connections, each of which sends ``more`` and reads so many bytes a second."""

        async def one(at: int) -> None:
            await asyncio.sleep(at / many)
            while True:
                with suppress(OSError):
                    reader, writer = await self.connect(peers[at % len(peers)])
                    try:
                        await self._dribble(reader, writer, first, more, read)
                    finally:
                        writer.transport.abort()
                await asyncio.sleep(1)

        await asyncio.gather(*map(one, range(many)))

    async def _dribble(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        first: bytes,
        more: bytes,
        read: int,
    ) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(first)
        while not writer.transport.is_closing():
            await asyncio.sleep(1)
            writer.write(more)
            if read:
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        if not await reader.read(read):
                            return

    def noise(self) -> Iterator[bytes]:
        """Requests in which some bytes are others."""
        while True:
            data = bytearray(self._random.choice((GET + b"\r\n", *SMUGGLED, *SPOOFED)))
            for _ in range(self._random.randint(1, 8)):
                at = self._random.randrange(len(data))
                data[at : at + self._random.randint(0, 3)] = self._random.randbytes(3)
            yield bytes(data)


def body(head: bytes, data: bytes) -> bytes:
    """A request with a body."""
    return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


def in_turn(*requests: bytes) -> Iterator[bytes]:
    return (requests[n % len(requests)] for n in count())


def numbered(form: Callable[[int], bytes]) -> Iterator[bytes]:
    return map(form, count())


def report(number: int) -> bytes:
    return body(STATUS, b'{"generation": %d, "state": "isolated"}' % number)


MANY = (GET + b"\r\n") * 500
FIELDS = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 60) for n in range(120))
_HELD, _RATE = f"{HELD} connections", f"{RATE}/s"

ATTACKS: Mapping[str, Attack] = {
    "slow header": Attack(_HELD, lambda a: a.hold(GET, b"X", 0)),
    "slow body": Attack(_HELD, lambda a: a.hold(POST + b"Content-Length: 999\r\n\r\n", b"x", 0)),
    "slow reader": Attack(_HELD, lambda a: a.hold((GET + b"\r\n") * 50, b"", 100)),
    "idle connections": Attack(f"{IDLE}", lambda a: a.hold(b"", b"", 0, IDLE, STRANGERS)),
    "connections": Attack(_RATE, lambda a: a.often(in_turn(b""))),
    "requests": Attack(_RATE, lambda a: a.often(in_turn(GET + b"\r\n"))),
    "pipelined": Attack("40 × 500/s", lambda a: a.hold(MANY, MANY, MOST_BYTES, 40)),
    "many headers": Attack(_RATE, lambda a: a.often(in_turn(GET + FIELDS + b"\r\n"))),
    "large headers": Attack(_RATE, lambda a: a.often(in_turn(GET + b"X: " + b"x" * 60_000))),
    "smuggling": Attack(_RATE, lambda a: a.often(in_turn(*SMUGGLED))),
    "noise": Attack(_RATE, lambda a: a.often(a.noise())),
    "spoofed headers": Attack(_RATE, lambda a: a.often(in_turn(*SPOOFED))),
    "token replay": Attack(
        _RATE, lambda a: a.often(in_turn(GET + b"X-aws-ec2-metadata-token: " + TOKEN + b"\r\n\r\n"))
    ),
    "passwords": Attack(_RATE, lambda a: a.often(numbered(lambda n: body(POST, b"%d" % n)))),
    "reports": Attack(_RATE, lambda a: a.often(numbered(report))),
    "waits": Attack(_HELD, lambda a: a.hold(WAIT, b"", 1000)),
    "waits hung up": Attack(_RATE, lambda a: a.often(in_turn(WAIT))),
}


async def _main(port: int) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    while words := (await asyncio.to_thread(sys.stdin.readline)).split(maxsplit=1):
        attackers = Attackers(port)
        attack = asyncio.create_task(_run(ATTACKS[words[1].strip()], attackers))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        attack.cancel()
        await asyncio.wait([attack])
        print("off", attackers.faults, flush=True)


async def _run(attack: Attack, attackers: Attackers) -> None:
    await attack.run(attackers)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
