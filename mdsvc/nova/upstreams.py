"""Requests to a cloud's metadata service, at several addresses in their order.

One that takes too long, refuses, or answers with a 5xx is away, and the next one is asked. Only
silence opens a circuit breaker: a 5xx for one guest says nothing of others.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from yarl import URL

from mdsvc.logs import one_line
from mdsvc.nova.addresses import Upstream
from mdsvc.nova.breaker import Breaker
from mdsvc.nova.replies import Away, Outcome, Reply
from mdsvc.outbound import read_at_most

SECONDS = 7.0
"""For all upstreams together; a guest waits 8 s at most."""

LARGEST = 8 * 2**20
"""Bytes of an answer; the largest of Nova's are some hundred thousand."""

_AT_ONCE = 64
_SHORTEST = 1.0
"""Seconds that an upstream has for an answer, also where the request had to wait for its turn."""

_PASSED = ("Content-Type", "Content-Encoding", "Retry-After")
_SAFE = ("GET", "HEAD")
_NOT_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

_log = logging.getLogger(__name__)


class Question(NamedTuple):
    """One request, as it is sent to whichever upstream, and what is wrong with an answer to it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    fault: Callable[[Reply], str | None] = lambda _reply: None


class Upstreams:
    """Opened and closed as a context; ``count`` is told what came of each request."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        count: Callable[[Outcome], None] = lambda _outcome: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._addresses = upstreams
        self._count = count
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._doors = [_Door(each, Breaker(self._clock)) for each in self._addresses]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for door in self._doors:
            await door.session.close()

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        fault: Callable[[Reply], str | None] = lambda _reply: None,
    ) -> Reply:
        """The first answer without a fault. What may have changed something is not sent twice.

        ``target`` is path and query as they came. Raises Away.
        """
        question = Question(method, target, headers, body, fault)
        now = asyncio.get_running_loop().time
        deadline = now() + SECONDS
        away = Away("no upstream has answered lately", "unreachable")
        doors = [door for door in self._doors if door.breaker.lets_through()]
        for left, door in zip(range(len(doors), 0, -1), doors, strict=True):
            seconds = max((deadline - now()) / left, 0.05)
            try:
                return await self._one(door, question, seconds)
            except _NotSent as error:
                away = error
            except Away as error:
                away = error
                if method not in _SAFE:
                    break
        raise away

    async def states(self, seconds: float) -> Mapping[str, str | None]:
        """What is wrong with each upstream now, by its address; None where it answers."""
        question = Question("GET", "/", {})
        replies = await asyncio.gather(
            *(door.ask(question, seconds) for door in self._doors), return_exceptions=True
        )
        return {
            str(door.upstream): str(reply) if isinstance(reply, BaseException) else None
            for door, reply in zip(self._doors, replies, strict=True)
        }

    async def _one(self, door: _Door, question: Question, seconds: float) -> Reply:
        try:
            reply = await door.ask(question, seconds)
        except Away as error:
            self._count(error.outcome)
            if error.outcome in ("timeout", "unreachable"):
                door.breaker.failed()
            elif error.outcome != "busy":
                door.breaker.succeeded()  # it is not silent
            _log.warning("upstream %s: %s", door.upstream, one_line(str(error)))
            raise
        door.breaker.succeeded()
        self._count("refused" if 400 <= reply.status != 404 else "ok")
        return reply


class _NotSent(Away):
    """Nobody has seen the request."""


class _Door:
    """One upstream. Each request has a connection of its own, as with Neutron's agent: one that is
    kept can end under a POST, which must not be sent again.
    """

    def __init__(self, upstream: Upstream, breaker: Breaker) -> None:
        self.upstream = upstream
        self.breaker = breaker
        self._turns = asyncio.Semaphore(_AT_ONCE)
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(upstream.socket, limit=0, force_close=True)
            if upstream.socket
            else aiohttp.TCPConnector(ssl=_tls(upstream), limit=0, force_close=True)
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_NOT_OURS,
        )

    async def ask(self, question: Question, seconds: float) -> Reply:
        """Its answer. Raises Away. To wait for one's turn is no silence of the upstream's."""
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError:
            raise _NotSent(f"{_AT_ONCE} requests have been under way", "busy") from None
        try:
            return await self._sent(question, max(deadline - now(), _SHORTEST))
        finally:
            self._turns.release()

    async def _sent(self, question: Question, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(question)
        except TimeoutError:
            raise Away(f"no answer within {seconds:.1f} s", "timeout") from None
        except aiohttp.ClientConnectorError as error:
            raise _NotSent(str(error), "unreachable") from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise Away(f"expected HTTP: {error}", "garbage") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Away(f"{type(error).__name__}: {error}", "unreachable") from None

    async def _ask(self, question: Question) -> Reply:
        async with self.session.request(
            question.method,
            URL(self.upstream.base + question.target, encoded=True),
            headers=question.headers,
            data=question.body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(),
        ) as answer:
            if answer.status >= 500:
                raise Away(f"{answer.status} {answer.reason}", "error")
            body = await _bounded(answer.content)
            headers = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
            reply = Reply(answer.status, body, headers)
            if wrong := question.fault(reply):
                raise Away(wrong, "garbage")
            return reply


def _tls(upstream: Upstream) -> ssl.SSLContext | bool:
    """Those that the system trusts, or SSL_CERT_FILE."""
    return ssl.create_default_context() if upstream.base.startswith("https:") else True


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = await read_at_most(content, LARGEST)
    if body is None:
        raise Away(f"expected an answer of at most {LARGEST} bytes", "garbage")
    return body
