"""Connections on which a request is answered as it arrives, where nothing has to be waited for.

By far the most requests are for what is kept. aiohttp makes a request, a task and a response for
each, which takes longer than to find the answer. So a request is shown first to whoever may know
its answer at once, or when it will be there; all others go aiohttp's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from mdsvc.listening.requests import is_spoken
from mdsvc.override import override


class Later(Protocol):
    """An answer that is not there yet."""

    def send_by(self, send: Callable[[bytes | None], None]) -> None:
        """Call it once with the whole answer, not before this returns; None where there is more to
        it by now.
        """

    def drop(self) -> None:
        """Nobody waits for it any more, and it is not sent."""


AtOnce = Callable[[RawRequestMessage, str | None], bytes | Later | None]
"""The whole answer to a request without a body, by the address of who asks; None, and nothing is
changed, where there is more to it. Raises nothing.
"""

_INSIDE = (
    "_logging_enabled",
    "_messages",
    "_next_keepalive_close_time",
    "_parser",
    "_paused",
    "_process_keepalive",
    "_request_count",
    "_request_in_progress",
    "_task_handler",
    "_upgraded",
    "_waiter",
)
_IS_AS_KNOWN = all(hasattr(web.RequestHandler, name) for name in _INSIDE)
"""Whether aiohttp is one whose connections work as is said here; else it answers all by itself."""


class _Held(NamedTuple):
    """A request whose answer comes ``later``; its ``arrival`` as it was among the messages."""

    later: Later
    arrival: tuple[Any, Any]


class PromptConnection(web.RequestHandler):
    """aiohttp's own, whose task waits for messages while it is idle (``_waiter``). So it does while
    a request is ``held`` whose answer comes later.
    """

    __slots__ = ("_held", "at_once")

    at_once: AtOnce | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: _Held | None = None

    @override
    def data_received(self, data: bytes) -> None:
        """What can be answered at once is, and the task sleeps on."""
        if self._held:  # whoever sends more meanwhile is answered in order, by the task
            self._held.later.drop()
            self._take_up()
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
        if self._messages and not self._is_answered():
            self._wake()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        if self._held:
            self._held.later.drop()
            self._held = None
        if _IS_AS_KNOWN and self._task_handler and not self._request_in_progress:
            self._task_handler.cancel()  # else it begins a request that has come, and fails
        super().connection_lost(exc)

    @override
    def _process_keepalive(self) -> None:
        """Whoever waits for an answer is not silent."""
        if self._held:
            self._stay()
        super()._process_keepalive()

    def _is_answered(self) -> bool:
        """Answer what has arrived, if it is one plain request and who asks has read the last
        answer; or hold it.
        """
        if len(self._messages) > 1 or self._upgraded or self._paused:
            return False
        message, payload = self._messages[0]
        transport = self.transport
        if payload is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage):
            return False
        if not is_spoken(message.version):
            return False
        if not (transport and self.at_once and self._parser) or transport.is_closing():
            return False
        answer = self.at_once(message, self._address())
        if answer is None:
            return False
        if isinstance(answer, bytes):
            self._messages.popleft()
            self._send(answer, message)
        else:
            self._held = _Held(answer, self._messages.popleft())
            answer.send_by(self._is_there)
        return True

    def _send(self, answer: bytes, message: RawRequestMessage) -> None:
        assert self.transport, "the connection is open"
        assert self._parser, "likewise"
        self._parser.message_consumed()
        self.transport.write(answer)
        if message.should_close:
            self.force_close()
        else:
            self._stay()

    def _is_there(self, answer: bytes | None) -> None:
        """What was to come has come."""
        if answer is None or self.transport is None or self.transport.is_closing():
            self._take_up()
            return
        assert self._held, "an answer comes once"
        message, _ = self._held.arrival
        self._held = None
        self._send(answer, message)

    def _take_up(self) -> None:
        """The held request goes aiohttp's way after all."""
        assert self._held, "its answer was to come"
        self._messages.appendleft(self._held.arrival)
        self._held = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _stay(self) -> None:
        """Silence counts from now on."""
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout

    def _address(self) -> str | None:
        """The peer's; None where it has none, as at a Unix socket."""
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else None
