"""Documents as replies of HTTP. No cache on the way may keep one: it is for one guest."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from aiohttp import hdrs, web

from mdsvc.documents.answer import Answer, text_type
from mdsvc.listening.replies import KnownHeader

_NOT_KEPT: Mapping[str, str] = {hdrs.CACHE_CONTROL: "no-store"}


def text_reply(body: bytes, code: int = 200) -> web.Response:
    """Plain text, or bytes of any kind."""
    return reply_of(body, text_type(body), code, {})


def reply_of(body: bytes, kind: str, code: int, headers: Mapping[str, str]) -> web.Response:
    """Anything, of that content type, with these headers too."""
    return web.Response(
        body=body, status=code, headers={hdrs.CONTENT_TYPE: kind, **_NOT_KEPT, **headers}
    )


def unchanged(answer: Answer) -> web.Response:
    """To who has it already."""
    return web.Response(status=304, headers={**_NOT_KEPT, hdrs.ETAG: _tag(answer.etag)})


@lru_cache(maxsize=4096)
def header_of(kind: str, etag: str) -> KnownHeader:
    """Of a document of that content type."""
    return KnownHeader({hdrs.CONTENT_TYPE: kind, **_NOT_KEPT, hdrs.ETAG: _tag(etag)})


def _tag(etag: str) -> str:
    """Weak: two replies of one etag may differ in what is new in every reply."""
    return f'W/"{etag}"'
