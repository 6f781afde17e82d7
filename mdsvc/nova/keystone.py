"""Requests to a cloud's services with a token of Keystone's, by plain HTTP: three calls of its API
do not need openstacksdk, which brings some twenty packages.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from mdsvc.errors import MdsvcError, Unavailable
from mdsvc.nova.clouds import Cloud

SECONDS = 60
"""How long one answer may take."""


class CloudSession:
    """A cloud, asked as its entry says. Every method raises MdsvcError with what it answers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._headers: dict[str, str] = {}
        self._catalog: list[Mapping[str, Any]] = []

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._ssl(), limit=8)
        self._http = aiohttp.ClientSession(timeout=timeout, connector=connector)
        try:
            await self._authenticate()
        except BaseException:
            await self._http.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    def _ssl(self) -> ssl.SSLContext | bool:
        if not self._cloud.verify:
            return False
        return ssl.create_default_context(cafile=self._cloud.cacert) if self._cloud.cacert else True

    async def _authenticate(self) -> None:
        url = f"{self._cloud.auth_url}/v3/auth/tokens"
        answer, headers = await self._ask("POST", url, json={"auth": self._cloud.auth})
        self._headers = {"X-Auth-Token": headers.get("X-Subject-Token", "")}
        self._catalog = answer.get("token", {}).get("catalog", [])

    def endpoint(self, service: str) -> str:
        """Where a service is, by its type."""
        for entry in self._catalog:
            for at in entry.get("endpoints", []) if entry.get("type") == service else []:
                region = self._cloud.region in (None, at.get("region"), at.get("region_id"))
                if region and at.get("interface") == self._cloud.interface:
                    return str(at["url"]).rstrip("/")
        where = f"interface {self._cloud.interface}, region {self._cloud.region or 'any'}"
        raise MdsvcError(f"cloud {self._cloud.name}: its catalog has no {service} ({where})")

    async def get(self, url: str, headers: Mapping[str, str], **query: str) -> Mapping[str, Any]:
        """The JSON object at a URL."""
        answer, _ = await self._ask("GET", url, headers=headers, params=query)
        return answer

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        try:
            async with self._http.request(
                method, url, headers={**self._headers, **(headers or {})}, **more
            ) as answer:
                if answer.status >= 300:
                    raise MdsvcError(f"{method} {url}: {answer.status} {answer.reason}")
                body = await answer.json()
                headers_back = dict(answer.headers)
        except TimeoutError:
            raise Unavailable(f"{method} {url}: no answer within {SECONDS} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise Unavailable(f"{method} {url}: {error}") from None
        if not isinstance(body, dict):
            raise MdsvcError(f"{method} {url}: expected a JSON object")
        return body, headers_back
