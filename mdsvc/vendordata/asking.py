"""One request to a target, as Nova makes it: what is known of the guest, and JSON back."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import msgspec
from yarl import URL

from mdsvc.errors import BadInput
from mdsvc.forms import check_plain, to_json
from mdsvc.instance import PlacedInstance, content_bytes
from mdsvc.outbound import read_at_most
from mdsvc.vendordata.targets import Target

LARGEST = 2**20
"""Bytes of an answer."""

_AT_ONCE = 256
"""Connections to one target; whoever waits for one waits no longer than the deadline."""

_REDIRECTS = (307, 308)
_MOST_REDIRECTS = 3

Outcome = Literal["ok", "refused", "error", "timeout", "unreachable", "garbage"]
"""An answer, a 4xx, another status, none in time, none at all, one that is no JSON."""


class Failed(Exception):
    """The target has given no answer; the text says why."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


def question(guest: PlacedInstance) -> bytes:
    """What a target is told of a guest: the fields of Nova's request (``DynamicVendorData``)."""
    user_data = guest.user_data
    return to_json(
        {
            "project-id": guest.project_id,
            "instance-id": guest.uuid,
            "image-id": guest.image.id,
            "user-data": None
            if user_data is None
            else base64.b64encode(content_bytes(user_data)).decode(),
            "hostname": guest.hostname,
            "metadata": guest.meta,
            "boot-roles": "",  # who has started it is not known here
        }
    )


class Asking:
    """Opened and closed as a context. ``headers`` may be replaced while it is open."""

    def __init__(self, headers: Mapping[str, str], authority: Path | None = None) -> None:
        """``authority``: the certificates that https is checked by, instead of the system's.

        Raises BadInput.
        """
        self.headers = headers
        self._tls = _tls(authority)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls, limit_per_host=_AT_ONCE, limit=0, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(self, target: Target, body: bytes, seconds: float) -> bytes:
        """The answer, as JSON. Raises Failed."""
        try:
            async with asyncio.timeout(seconds):
                return _checked(*await self._ask(target, body))
        except TimeoutError:
            raise Failed(f"no answer within {seconds:g} s", "timeout") from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise Failed(f"expected HTTP: {error}", "garbage") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed(f"{type(error).__name__}: {error}", "unreachable") from None

    async def _ask(self, target: Target, body: bytes) -> tuple[int, bytes]:
        """A redirect that keeps the method is followed, as by Nova, but to no other server: it
        would be told the secret.
        """
        url = URL(target.url)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session.post(
                url,
                data=body,
                headers={**_HEADERS, **self.headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(),
            ) as answer:
                where = answer.headers.get("Location", "")
                if answer.status not in _REDIRECTS or not where:
                    return answer.status, await _bounded(answer.content)
            origin, url = url.origin(), url.join(URL(where))
            if not url.host or url.origin() != origin:
                raise Failed("expected an answer, and was sent to another server", "error")
        raise Failed(f"expected an answer, and was sent on {_MOST_REDIRECTS + 1} times", "error")


_HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "Connection": "close",  # one that is kept can end under a request
    "User-Agent": "mdsvc-vendordata",
}


_NOTHING = b"{}"


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = await read_at_most(content, LARGEST)
    if body is None:
        raise Failed(f"expected an answer of at most {LARGEST} bytes", "garbage")
    return body


def _checked(status: int, body: bytes) -> bytes:
    """Nothing at all is an answer too: there is nothing for this guest. Raises Failed."""
    if status // 100 != 2:
        outcome: Outcome = "refused" if status // 100 == 4 else "error"
        raise Failed(f"expected a 2xx, got status {status}", outcome)
    if not body.strip():
        return _NOTHING
    try:
        value: Any = msgspec.json.decode(body)
        check_plain(value)
        return to_json(value)
    except (BadInput, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Failed(f"expected JSON: {error}", "garbage") from None


def _tls(authority: Path | None) -> ssl.SSLContext:
    """Those that the system trusts, or SSL_CERT_FILE, where none are given."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (ssl.SSLError, OSError, ValueError) as error:
        where = f"vendordata_dynamic_ssl_certfile: {authority}"
        raise BadInput(f"{where}: expected certificates in PEM: {error}") from None
