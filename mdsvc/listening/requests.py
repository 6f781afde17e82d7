"""Requests as every listener takes them: of a version of HTTP that is spoken here, and answered
without a word of what answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage

from mdsvc.override import override

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers any request."""

_VERSIONS = (HttpVersion11, HttpVersion10)


def is_spoken(version: HttpVersion) -> bool:
    """Whether a request of that version is answered. A later one is framed in another way, and an
    earlier one has no header; the parser takes both, and asks neither for a ``Host``.
    """
    return version in _VERSIONS


def spoken(handle: Handler) -> Handler:
    """The handler, of such requests alone. Raises BadHttpMessage."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if not is_spoken(request.version):
            raise BadHttpMessage("a version that is not spoken here")
        try:
            return await handle(request)
        except web.HTTPExpectationFailed:  # aiohttp's own, which repeats what was sent
            raise BadHttpMessage("an expectation that is not met here") from None

    return answer


class PlainRequest(web.BaseRequest):
    """One to a handler of all requests."""

    @override
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        _hide(response)


class RoutedRequest(web.Request):
    """One to an application."""

    @override
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        _hide(response)


def _hide(response: web.StreamResponse) -> None:
    """aiohttp names itself and Python, with their versions; whoever attacks is not told."""
    response.headers.popall(hdrs.SERVER, None)
