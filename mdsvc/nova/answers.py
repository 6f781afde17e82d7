"""A cloud's answers, kept for a moment: one request at a time for each guest and path, and the last
good answer while no upstream gives another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic
from typing import NamedTuple

from mdsvc.nova.replies import Asker, Away, Reply

FRESH_SECONDS = 15.0
"""As long as Nova's own workers keep an answer."""

ROOM = 64 * 2**20
GUEST_ROOM = 4 * 2**20
"""Bytes: of all that is kept, and of one guest's part, who can think of no end of paths."""

_OVERHEAD = 500
_FAILED_SECONDS = 1.0
_PATIENCE = 2.0
LONGEST_PATIENCE = 7.5
"""Seconds; for a guest for which nothing is kept."""

_KEPT = (200, 404)

Fetch = Callable[[Asker, str], Awaitable[Reply]]


class _Kept(NamedTuple):
    reply: Reply
    asked_at: float

    @property
    def size(self) -> int:
        return 2 * len(self.reply.body) + _OVERHEAD  # as it came, and as it is shown


class _Guest:
    """What is kept of one guest, the oldest first."""

    def __init__(self) -> None:
        self.answers: dict[str, _Kept] = {}
        self.size = 0

    def keep(self, target: str, kept: _Kept) -> None:
        self.drop(target)
        self.answers[target] = kept
        self.size += kept.size
        while self.size > GUEST_ROOM:
            self.drop(next(iter(self.answers)))

    def drop(self, target: str) -> None:
        if kept := self.answers.pop(target, None):
            self.size -= kept.size


class Answers:
    """Answers by guest and target. ``on_last_good`` is called where an old one had to do."""

    def __init__(
        self,
        fetch: Fetch,
        clock: Callable[[], float] = monotonic,
        room: int = ROOM,
        on_last_good: Callable[[], None] = lambda: None,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._room = room
        self._on_last_good = on_last_good
        self._guests: dict[Asker, _Guest] = {}
        self._flights: dict[tuple[Asker, str], asyncio.Task[Reply]] = {}
        self._failed: dict[tuple[Asker, str], tuple[float, Away]] = {}
        self._size = 0

    def held(self) -> int:
        """Bytes of what is kept."""
        return self._size

    def kept(self, asker: Asker, target: str, max_age: float = FRESH_SECONDS) -> Reply | None:
        """One that is no older than that, in seconds, if it is kept."""
        guest = self._guests.get(asker)
        kept = guest.answers.get(target) if guest else None
        return kept.reply if kept and self._clock() - kept.asked_at <= max_age else None

    async def get(self, asker: Asker, target: str, max_age: float = FRESH_SECONDS) -> Reply:
        """An answer no older than that, in seconds, or the last good one. Raises Away."""
        guest = self._guests.get(asker)
        kept = guest.answers.get(target) if guest else None
        if kept and self._clock() - kept.asked_at <= max_age:
            return kept.reply
        try:
            return await self._asked(asker, target, _PATIENCE if kept else LONGEST_PATIENCE)
        except Away:
            if kept is None:
                raise
            self._on_last_good()
            return kept.reply

    async def _asked(self, asker: Asker, target: str, patience: float) -> Reply:
        """What is answered now, to whoever has asked first; who goes away lets it go on."""
        key = (asker, target)
        at, error = self._failed.get(key, (0.0, None))
        if error and self._clock() - at < _FAILED_SECONDS:
            raise error
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(asker, target))
            flight.add_done_callback(_seen)
        await asyncio.wait({flight}, timeout=patience)
        if not flight.done() or flight.cancelled():
            raise Away(f"no answer within {patience} s", "timeout")
        return flight.result()

    async def _fly(self, asker: Asker, target: str) -> Reply:
        key = (asker, target)
        began = self._clock()
        self._failed.pop(key, None)
        try:
            reply = await self._fetch(asker, target)
        except Away as error:
            self._failed[key] = (self._clock(), error)
            self._forget_failures()
            raise
        finally:
            del self._flights[key]
        if reply.status in _KEPT:
            self._keep(asker, target, _Kept(reply, began))
        return reply

    def _keep(self, asker: Asker, target: str, kept: _Kept) -> None:
        """The guest is the last one now to make room for others."""
        guest = self._guests.pop(asker, None) or _Guest()
        self._size -= guest.size
        guest.keep(target, kept)
        self._guests[asker] = guest
        self._size += guest.size
        while self._size > self._room:
            self._size -= self._guests.pop(next(iter(self._guests))).size

    def _forget_failures(self) -> None:
        for key in list(self._old_failures()):
            del self._failed[key]

    def _old_failures(self) -> Iterator[tuple[Asker, str]]:
        """They stand in the order in which they were; only the first can be old."""
        for key, (at, _error) in self._failed.items():
            if self._clock() - at < _FAILED_SECONDS:
                return
            yield key

    async def close(self) -> None:
        """Ask no more."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)


def _seen(flight: asyncio.Task[Reply]) -> None:
    """An error that nobody waited for is none that Python has to tell."""
    if not flight.cancelled():
        flight.exception()
