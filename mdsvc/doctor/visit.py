"""One client's visit to a metadata service: what it asks, what that costs, and what it learns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, NamedTuple

import aiohttp

from mdsvc.cpuset import CpuSet
from mdsvc.nova.addresses import parse_upstream

_SECONDS = 10
"""For how long clients wait for an answer; cloud-init's time for its probe."""

_MAX_BODY = 2**20
_MOST_REDIRECTS = 5
_LONGEST_SAID = 100
_MOST_REQUESTS = 500
_LONGEST_BOOT = 120.0
"""A boot takes some dozens, and a second; a service whose folders have no end, or that is slow, is
not followed for ever.
"""


class Stops(Exception):
    """The client gives up; the text says why, and what that costs the guest."""


class Unanswered(Exception):
    """No answer came in time, or no connection."""


class Reply(NamedTuple):
    """An answer; ``body`` is as it was sent, at most a mebibyte of it."""

    path: str
    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def is_page(self) -> bool:
        """A web page is of a proxy or a login, and no metadata."""
        return self.body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))

    @property
    def got(self) -> str:
        """What it is, where that is not what a client wants; and what is said of it, if briefly."""
        if self.status != 200:
            text = self.text.strip()
            is_said = 0 < len(text) <= _LONGEST_SAID and text.isprintable() and not self.is_page
            return f"status {self.status}" + (f" ({text})" if is_said else "")
        return "a web page" if self.is_page else "an empty body"


class Visit:
    """Asks as one client does, with a new connection for each request, and keeps account."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
    ) -> None:
        self.requests = 0
        self.seconds = 0.0
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.dedicated_cpus: str | None = None
        self.where: str | None = None
        self._session = session
        self._url = url
        self._headers = dict(headers)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Raises Unanswered. A header's ``_`` stands for ``-``."""
        if self.requests >= _MOST_REQUESTS:
            raise Stops(f"/{path}: {_MOST_REQUESTS} requests were made, and there is more below")
        if self.seconds >= _LONGEST_BOOT:
            raise Stops(f"/{path}: {_LONGEST_BOOT:g} s have passed, and there is more to be asked")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        started = monotonic()
        try:
            async with self._session.request(
                method,
                f"{self._url}/{path}",
                headers={**self._headers, **named},
                max_redirects=_MOST_REDIRECTS,
            ) as response:
                self.requests += 1
                return Reply(path, response.status, await _bounded(response.content))
        except aiohttp.TooManyRedirects:
            self.requests += 1  # somebody is there
            raise Unanswered(f"/{path}: redirected {_MOST_REDIRECTS} times, and on") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unanswered(f"/{path}: {_why(error)}") from None
        finally:
            self.seconds += monotonic() - started

    async def wanted(self, path: str, otherwise: str, empty: bool = True) -> Reply:
        """What the client cannot do without: a 200, and not empty unless that will do."""
        reply = await self.ask(path)
        if reply.status != 200 or reply.is_page or not (empty or reply.body):
            raise Stops(f"/{path}: expected 200, got {reply.got}: {otherwise}")
        return reply

    async def optional(self, path: str, otherwise: str) -> Reply | None:
        """What may be absent, which is 404; with anything else the client fares as told."""
        return self.if_there(await self.ask(path), otherwise)

    def if_there(self, reply: Reply, otherwise: str) -> Reply | None:
        """The same of a reply that came."""
        if reply.status not in (200, 204, 404) or (reply.status == 200 and reply.is_page):
            expected = f"expected 200 or 404, got {reply.got}"
            self.problems.append(f"/{reply.path}: {expected}: {otherwise}")
            return None
        return reply if reply.status == 200 else None

    def keep(self, header: str, value: str) -> None:
        """Send this header from now on."""
        self._headers[header] = value

    def learn(self, dedicated_cpus: object, where: str) -> None:
        """The first place is what counts; a list of integers is shown as a CPU set."""
        if self.where is None and dedicated_cpus is not None:
            self.dedicated_cpus = _as_set(dedicated_cpus)
            self.where = where


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"no answer in {_SECONDS} s"
        case aiohttp.ClientPayloadError():
            return "the answer broke off"
        case aiohttp.ClientResponseError():
            return "expected HTTP, got something else"
        case aiohttp.NonHttpUrlClientError() | aiohttp.InvalidUrlClientError():
            return f"expected an HTTP answer, and was sent to {error}"
        case _:
            return str(error)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """The whole body, or as much of it as is looked at."""
    body = b""
    while len(body) < _MAX_BODY and (part := await content.read(_MAX_BODY - len(body))):
        body += part
    return body


def _as_set(cpus: object) -> str:
    """What is no list of CPU numbers is shown as it came."""
    try:
        return str(CpuSet.of(cpus)) if isinstance(cpus, list) else str(cpus)
    except (TypeError, ValueError):
        return str(cpus)


def json_object(reply: Reply, otherwise: str) -> dict[str, Any]:
    """Raises Stops where the document is no JSON object."""
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Stops(f"/{reply.path}: expected a JSON object: {otherwise}")
    return value


@asynccontextmanager
async def connected(url: str, user_agent: str, headers: Mapping[str, str]) -> AsyncIterator[Visit]:
    """A visit to the service at this URL, or ``unix:/PATH``."""
    where = parse_upstream(url, "URL")
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(where.socket, force_close=True)
        if where.socket
        else aiohttp.TCPConnector(force_close=True)
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        headers={"User-Agent": user_agent},
        trust_env=False,
    ) as session:
        yield Visit(session, where.base, headers)
