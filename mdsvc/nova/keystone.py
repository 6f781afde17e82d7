"""Requests to a cloud's services with a token of Keystone's, by plain HTTP: a few calls of its API
do not need openstacksdk, which brings some twenty packages.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from mdsvc.errors import BadInput, Forbidden, MdsvcError, NotFound, Unavailable, Unidentified
from mdsvc.logs import one_line
from mdsvc.nova.clouds import Cloud

SECONDS = 60
"""How long one answer may take."""

AT_ONCE = 8
"""How many answers are waited for at a time."""

_AUTH = "/v3/auth/tokens"
_LONGEST_FAULT = 65536


class Silent(Unavailable):
    """No answer at all, or none in time."""


class Refusal(MdsvcError):
    """The cloud answers, and not what it was asked for."""


_ERRORS: Mapping[int, type[MdsvcError]] = {
    401: Unidentified,
    403: Forbidden,
    404: NotFound,
    429: Unavailable,
}


class _Ours(NamedTuple):
    """The token that we have, and where the cloud's services are."""

    token: str
    catalog: list[Mapping[str, Any]]


class CloudSession:
    """A cloud, asked as its entry says, for as long as it is open: a token that is over is followed
    by a new one. Every method raises MdsvcError with what the cloud answers.

    ``seconds`` is for one answer, not for waiting until it may be asked for.
    """

    def __init__(self, cloud: Cloud, seconds: float = SECONDS, at_once: int = AT_ONCE) -> None:
        self._cloud = cloud
        self._seconds = seconds
        self._ours: _Ours | None = None
        self._renewing = asyncio.Lock()
        self._turns = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            connector=aiohttp.TCPConnector(ssl=self._ssl(), limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    def _ssl(self) -> ssl.SSLContext | bool:
        """Raises BadInput."""
        file = self._cloud.cacert
        if not (self._cloud.verify and file):
            return self._cloud.verify
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            why = error.strerror or str(error)
            raise BadInput(f"cloud {self._cloud.name}: cacert: {file}: {why}") from None

    async def endpoint(self, service: str) -> str:
        """Where a service is, by its type."""
        if service in self._cloud.endpoints:
            return self._cloud.endpoints[service].rstrip("/")
        entries = (await self._authenticated()).catalog
        known = [
            at
            for entry in entries
            if entry.get("type") == service
            for at in entry.get("endpoints", [])
        ]
        for at in known:
            region = self._cloud.region in (None, at.get("region"), at.get("region_id"))
            if region and at.get("interface") == self._cloud.interface:
                return str(at["url"]).rstrip("/")
        where = f"interface {self._cloud.interface}, region {self._cloud.region or 'any'}"
        there = sorted({f"{at.get('interface')} in {at.get('region_id')}" for at in known})
        raise Refusal(
            f"cloud {self._cloud.name}: its catalog has no {service} ({where}); "
            f"it has: {', '.join(there) or 'none'}"
        )

    async def states(self, seconds: float) -> Mapping[str, str | None]:
        """What is wrong with its Keystone now, by its address; None where it answers."""
        url = f"{self._cloud.auth_url}/v3"
        try:
            async with asyncio.timeout(seconds):
                await self._ask("GET", url)
        except TimeoutError:
            return {url: f"no answer within {seconds:g} s"}
        except MdsvcError as error:
            return {url: str(error)}
        return {url: None}

    async def get(self, url: str, headers: Mapping[str, str], **query: str) -> Mapping[str, Any]:
        """The JSON object at a URL."""
        return await self._with_token(url, headers, query)

    async def token(self, text: str) -> Mapping[str, Any]:
        """What Keystone knows of somebody's token. Raises NotFound where it is good no more."""
        url, headers = f"{self._cloud.auth_url}{_AUTH}", {"X-Subject-Token": text}
        answer = await self._with_token(url, headers, {"nocatalog": "1"})
        return dict(answer.get("token") or {})

    async def _with_token(
        self, url: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Mapping[str, Any]:
        ours = await self._authenticated()
        try:
            return await self._get(url, ours, headers, query)
        except Unidentified:
            ours = await self._authenticated(instead_of=ours)
        try:
            return await self._get(url, ours, headers, query)
        except Unidentified as error:
            raise Refusal(str(error)) from None

    async def _get(
        self, url: str, ours: _Ours, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Mapping[str, Any]:
        told = {"X-Auth-Token": ours.token, **headers}
        answer, _ = await self._ask("GET", url, headers=told, params=query)
        return answer

    async def _authenticated(self, instead_of: _Ours | None = None) -> _Ours:
        """Our token; another one than that which is good no more. One asks for all."""
        async with self._renewing:
            if self._ours is None or self._ours is instead_of:
                url = f"{self._cloud.auth_url}{_AUTH}"
                try:
                    answer, headers = await self._ask("POST", url, json={"auth": self._cloud.auth})
                except (Unidentified, Forbidden, NotFound) as error:
                    expected = "expected a user, password and project, or an application credential"
                    us = f"cloud {self._cloud.name}: Keystone does not take who we are"
                    raise Refusal(f"{us} ({error}); {expected}, that it knows") from None
                catalog = (answer.get("token") or {}).get("catalog") or []
                self._ours = _Ours(headers.get("X-Subject-Token", ""), catalog)
            return self._ours

    async def _ask(
        self, method: str, url: str, **more: Any
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        try:
            async with self._turns, self._http.request(method, url, **more) as answer:
                if answer.status >= 300:
                    kind = Unavailable if answer.status >= 500 else _ERRORS.get(answer.status)
                    why = f"{answer.status} {answer.reason}{await _said(answer)}"
                    raise (kind or Refusal)(f"{method} {url}: {why}")
                body = await answer.json()
                headers = dict(answer.headers)
        except TimeoutError:
            raise Silent(f"{method} {url}: no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise Silent(f"{method} {url}: {error}") from None
        except (aiohttp.ClientError, ValueError, RecursionError) as error:
            raise Unavailable(f"{method} {url}: {error}") from None
        if not isinstance(body, dict):
            raise Unavailable(f"{method} {url}: expected a JSON object")
        return body, headers


async def _said(answer: aiohttp.ClientResponse) -> str:
    """What a service says of its own refusal (``{"error": {"message": …}}``), if it does."""
    try:
        (fault,) = dict(json.loads(await answer.content.read(_LONGEST_FAULT))).values()
        message = " ".join(str(fault["message"]).split())
    except (LookupError, TypeError, ValueError, RecursionError):
        return ""
    return f": {one_line(message[:200])}"
