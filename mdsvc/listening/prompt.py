"""Connections on which a request is answered as it arrives, where nothing has to be waited for.

By far the most requests are for what is kept. aiohttp makes a request, a task and a response for
each, which takes longer than to find the answer. So a request is shown first to whoever may know
its answer at once; all others go aiohttp's way.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from mdsvc.override import override

AtOnce = Callable[[RawRequestMessage, str | None], bytes | None]
"""The whole answer to a request without a body, by the address of who asks; None, and nothing is
changed, where there is more to it. Raises nothing.
"""

_INSIDE = (
    "_logging_enabled",
    "_messages",
    "_next_keepalive_close_time",
    "_parser",
    "_paused",
    "_request_count",
    "_upgraded",
    "_waiter",
)
_IS_AS_KNOWN = all(hasattr(web.RequestHandler, name) for name in _INSIDE)
"""Whether aiohttp is one whose connections work as is said here; else it answers all by itself."""


class PromptConnection(web.RequestHandler):
    """aiohttp's own, whose task waits for messages while it is idle (``_waiter``)."""

    __slots__ = ("at_once",)

    at_once: AtOnce | None

    @override
    def data_received(self, data: bytes) -> None:
        """What can be answered at once is, and the task sleeps on."""
        idle = self._waiter
        is_at_rest = not idle.done() if idle else not self._request_count  # or has not begun yet
        if not (_IS_AS_KNOWN and self.at_once and is_at_rest) or self._logging_enabled:
            super().data_received(data)
            return
        self._waiter = None  # so that it is not woken yet
        try:
            super().data_received(data)
        finally:
            self._waiter = idle
        if self._messages and not self._is_answered() and idle and not idle.done():
            idle.set_result(None)

    def _is_answered(self) -> bool:
        """Answer what has arrived, if it is one plain request and who asks has read the last
        answer.
        """
        if len(self._messages) > 1 or self._upgraded or self._paused:
            return False
        message, payload = self._messages[0]
        transport = self.transport
        if payload is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage):
            return False
        if not (transport and self.at_once and self._parser) or transport.is_closing():
            return False
        answer = self.at_once(message, self._address())
        if answer is None:
            return False
        self._messages.clear()
        self._parser.message_consumed()
        transport.write(answer)
        if message.should_close:
            self.force_close()
        else:
            self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        return True

    def _address(self) -> str | None:
        """The peer's; None where it has none, as at a Unix socket."""
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else None
