"""A request that waits for a change without a task of its own: what it will be answered is known,
unless something changes. One that waits costs no more than its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from multidict import MultiMapping

from mdsvc.errors import BadInput
from mdsvc.waiting import Waiting

Send = Callable[[bytes | None], None]


class Asked(Protocol):
    """What a guest asks for, and waits for."""

    @property
    def uuid(self) -> str:
        """The guest's."""

    def come(self) -> None:
        """It waits from now on."""

    def go(self) -> None:
        """It waits no more."""

    def now(self) -> bytes:
        """The whole answer as it was when it came."""

    async def changed(self) -> bytes | None:
        """The whole answer if it is another by now. Raises whatever is wrong by now."""


class Held:
    """A ``Later`` of the connection's, parked for so many seconds at most."""

    __slots__ = ("_asked", "_is_woken", "_look", "_seconds", "_send", "_timer", "_waiting")

    def __init__(self, waiting: Waiting, asked: Asked, seconds: int) -> None:
        self._waiting = waiting
        self._asked = asked
        self._seconds = seconds
        self._is_woken = False
        self._look: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._send: Send | None = None

    def send_by(self, send: Send) -> None:
        self._send = send
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.end)
        self._asked.come()
        self._waiting.add("instance", self._asked.uuid, self)

    def wake(self) -> None:
        """Look at it, once more if that is being done."""
        self._is_woken = True
        if self._look is None:
            self._look = asyncio.get_running_loop().create_task(self._looked())

    def end(self) -> None:
        """Time is up."""
        self._answer(self._asked.now())

    def drop(self) -> None:
        """Wait no more."""
        self._send = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
            self._asked.go()
            self._waiting.remove("instance", self._asked.uuid, self)

    async def _looked(self) -> None:
        try:
            while self._is_woken and self._send:
                self._is_woken = False
                if answer := await self._asked.changed():
                    self._answer(answer)
        except Exception:  # noqa: BLE001  # it comes up again where it is told
            self._answer(None)
        finally:
            self._look = None

    def _answer(self, answer: bytes | None) -> None:
        if send := self._send:
            self.drop()
            send(answer)


def requested_wait(query: MultiMapping[str], longest: int) -> int:
    """For how many seconds a request is to wait, and may. Raises BadInput."""
    text = query.get("timeout_sec", str(longest))
    if not (text.isascii() and text.isdigit()):
        raise BadInput("timeout_sec: expected a whole number of seconds")
    digits = text.lstrip("0") or "0"
    return min(int(digits), longest) if len(digits) < 10 else longest


def known_etag(query: MultiMapping[str], now: str) -> str:
    """Of what the guest knows. Who names none is told of the next change, as on the clouds that
    this is learned from.
    """
    return query.get("last_etag", now).removeprefix("W/").strip('"')
