"""Reads of single things that are asked for at the same time, made one question.

When a thousand guests boot, each is read once, and a query costs more than what it finds. What is
asked for in one turn of the event loop goes together, and so does what is asked for while as many
questions as may be are under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 256
"""Things of one question."""

_AT_ONCE = 3
"""Questions under way."""


class Gathered(Generic[T]):
    """Reads by key. ``read`` gives what is there, by key; in place of what cannot be read, the
    error that says so.
    """

    def __init__(
        self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, T | Exception]]]
    ) -> None:
        self._read = read
        self._wanted: dict[str, asyncio.Future[T | None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_due = False

    async def get(self, key: str) -> T | None:
        """What is there after this was asked; None where that is nothing."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_seen)
            self._hurry()
        return await asyncio.shield(future)

    def _hurry(self) -> None:
        """Ask once everybody of this turn has come, or another question is done."""
        if self._wanted and not self._is_due and len(self._under_way) < _AT_ONCE:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_due = False
        futures = {key: self._wanted.pop(key) for key in list(islice(self._wanted, MOST))}
        task = asyncio.create_task(self._ask(futures))
        self._under_way.add(task)
        task.add_done_callback(self._end)
        self._hurry()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._hurry()

    async def _ask(self, futures: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            values = await self._read(list(futures))
        except Exception as error:  # noqa: BLE001  # it is for all who have asked
            values = dict.fromkeys(futures, error)
        except asyncio.CancelledError:
            for future in futures.values():
                future.cancel()
            raise
        for key, future in futures.items():
            value = values.get(key)
            if isinstance(value, Exception):
                future.set_exception(value)
            else:
                future.set_result(value)


def _seen(future: asyncio.Future[T]) -> None:
    """An error for which nobody waits any more is none that Python has to tell."""
    if not future.cancelled():
        future.exception()
