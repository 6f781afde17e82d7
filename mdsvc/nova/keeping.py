"""What a cloud answers, kept for a while: one request at a time for each thing, a bounded number of
things, and the last good answer while there is no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from mdsvc.errors import Unavailable
from mdsvc.nova.breaker import Breaker
from mdsvc.nova.keystone import Silent

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ROOM = 10_000
"""How many things are kept; the one that was asked for longest ago goes first."""

_PATIENCE = 1.0
"""Seconds, for whoever can have an answer that is kept."""

_AT_ONCE = 200
"""How many are asked for at a time; whoever comes then is told to come again."""


class _Kept(NamedTuple, Generic[V]):
    value: V
    at: float


class Keeping(Generic[K, V]):
    """``fetch`` asks. What it raises is passed on and nothing is kept of it, but for Unavailable,
    when the last good answer does that is still ``usable``.
    """

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[V]],
        fresh_seconds: float,
        usable: Callable[[V], bool] = lambda _value: True,
        clock: Callable[[], float] = monotonic,
        room: int = ROOM,
    ) -> None:
        self._fetch = fetch
        self._fresh = fresh_seconds
        self._usable = usable
        self._clock = clock
        self._room = room
        self._breaker = Breaker(clock)
        self._kept: dict[K, _Kept[V]] = {}
        self._flights: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: K, seconds: float) -> V:
        """The answer; a kept one where there is none within so many seconds. Raises MdsvcError."""
        kept = self._kept.get(key)
        good = kept is not None and self._usable(kept.value)
        if kept and good and self._clock() - kept.at < self._fresh:
            return kept.value
        try:
            return await self._asked(key, min(seconds, _PATIENCE) if good else seconds)
        except Unavailable:
            if kept and good:
                return kept.value
            raise

    async def _asked(self, key: K, seconds: float) -> V:
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= _AT_ONCE:
                raise Unavailable("too much is asked of the cloud at once; try again")
            if not self._breaker.lets_through():
                raise Unavailable("the cloud has not answered lately")
            flight = self._flights[key] = asyncio.create_task(self._fly(key))
            flight.add_done_callback(_seen)
        # Whoever goes away lets it go on, for the others and for the next time.
        await asyncio.wait({flight}, timeout=seconds)
        if not flight.done() or flight.cancelled():
            raise Unavailable(f"the cloud has not answered within {seconds:.1f} s")
        return flight.result()

    async def _fly(self, key: K) -> V:
        began = self._clock()
        try:
            value = await self._fetch(key)
        except Silent:
            self._breaker.failed()
            raise
        except Exception as error:
            self._breaker.succeeded()  # it is not silent
            if not isinstance(error, Unavailable):
                self._kept.pop(key, None)
            raise
        finally:
            del self._flights[key]
        self._breaker.succeeded()
        self._kept.pop(key, None)
        self._kept[key] = _Kept(value, began)
        while len(self._kept) > self._room:
            del self._kept[next(iter(self._kept))]
        return value

    async def close(self) -> None:
        """Ask no more."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)


def _seen(flight: asyncio.Task[V]) -> None:
    """An error that nobody waited for is none that Python has to tell."""
    if not flight.cancelled():
        flight.exception()
