"""Following a store: one follower in each process learns of every change, and tells the others.

It asks for the store's position again and again, which is one tiny query. It is hurried where
somebody knows of a change sooner: this process wrote it, or the database says so. Nothing rests on
that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from random import uniform
from time import monotonic
from typing import NamedTuple, Protocol

from mdsvc.errors import MdsvcError
from mdsvc.store import Stale
from mdsvc.store.feed import POLL_SECONDS, Change, ChangePage, Feed

_COLLECT_SECONDS = 0.01
"""Between two questions where it is hurried, so that a burst of writes is read at once."""

_GRACE_SECONDS = 0.5
"""For the last question to end by itself: cut off, it may leave a half-made connection behind."""

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who is told, on the event loop; returns soon."""

    def changed(self, changes: Sequence[Change]) -> None:
        """These have changed, in this order; each change comes once."""

    def reset(self) -> None:
        """Anything may have changed: what has cannot be told."""

    def cut_off(self) -> None:
        """The store does not answer: from now on there may be changes that nobody here knows of.

        Once it answers, they come as ``changed`` or ``reset``.
        """


class _Asking(NamedTuple):
    """The store is being asked for what has changed, since then."""

    began: float
    task: asyncio.Task[None]


class Follower:
    """Follows a store within ``running``. ``position`` is up to where all has been told; None
    before the store has answered for the first time. ``is_cut_off``: it does not answer now.
    """

    def __init__(self, store: Feed, seconds: float = POLL_SECONDS) -> None:
        self.position: int | None = None
        self.is_cut_off = False
        self._store = store
        self._seconds = seconds
        self._listeners: list[Listener] = []
        self._hurried = asyncio.Event()
        self._moved = asyncio.Event()
        self._last: tuple[int, ChangePage] | None = None
        self._asking: _Asking | None = None
        self._known_since = 0.0

    def tell(self, listener: Listener) -> None:
        """Tell it of what is learned from now on."""
        self._listeners.append(listener)

    def hurry(self) -> None:
        """Ask the store at once."""
        self._hurried.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Follower]:
        """Follow within the block; the position is known as it begins, if the store answers."""
        await self.catch_up(monotonic())
        task = asyncio.create_task(self._follow())
        try:
            yield self
        finally:
            await _end(task)
            if self._asking:
                await asyncio.wait([self._asking.task], timeout=_GRACE_SECONDS)
            if self._asking:
                await _end(self._asking.task)

    def knows(self, since: float) -> bool:
        """Whether all that had changed until then is told; by ``time.monotonic``."""
        return self._known_since >= since and not self.is_cut_off

    async def catch_up(self, since: float) -> bool:
        """The same, once the store was asked if need be: by one question, however many ask."""
        began = 0.0
        while began < since and not self.knows(since):
            if self._asking is None:
                self._asking = _Asking(monotonic(), asyncio.create_task(self._ask()))
            began, task = self._asking
            await asyncio.shield(task)
        return self.knows(since)

    async def pages(self, after: int | None = None) -> AsyncGenerator[ChangePage, None]:
        """What changes after a position, without end; after that of now where none is given.

        Whoever reads slowly holds nobody up, and gets several changes of one thing as one. The
        store is waited for while it does not answer.
        """
        while after is None:
            moved, after = self._moved, self.position
            if after is None:
                await moved.wait()
        while True:
            moved = self._moved
            page = await self._page(after)
            if page and (page.changes or page.reset):
                yield page
            if page and page.position != after:
                after = page.position
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(None if page else self._seconds):
                    await moved.wait()

    async def _page(self, after: int) -> ChangePage | None:
        """The page after a position, often the one that was just told; None where none comes."""
        if self._last and self._last[0] == after:
            return self._last[1]
        try:
            return await self._store.changes(after)
        except (MdsvcError, Stale):
            return None

    async def _follow(self) -> None:
        async with self._store.hurried(self.hurry):
            while True:
                await self._pause()
                await self.catch_up(monotonic())

    async def _pause(self) -> None:
        """The times vary, so that processes which began together do not go on so."""
        seconds = self._seconds * uniform(0.75, 1.25)  # noqa: S311  # no secret
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
                await asyncio.sleep(max(0.0, self._known_since + _COLLECT_SECONDS - monotonic()))
        self._hurried.clear()

    async def _ask(self) -> None:
        """Whatever goes wrong with the store, it is asked again."""
        began = monotonic()
        try:
            await self._learn()
        except Exception as error:  # noqa: BLE001  # or nobody would ever be told again
            self._lost(error)
        else:
            self._known_since = began
            if self.is_cut_off:
                _log.info("the changes of the store are followed again")
            self.is_cut_off = False
        finally:
            self._asking = None

    async def _learn(self) -> None:
        now = await self._store.position()
        if self.position is None:
            self._move(now, ChangePage(now, reset=True))
        at = self.position
        while at is not None and at != now:
            page = await self._store.changes(at)
            self._move(at, page)
            at = page.position if page.position < now else None

    def _move(self, after: int, page: ChangePage) -> None:
        self.position = page.position
        self._last = (after, page) if page.position != after else None
        if page.reset:
            self._tell(lambda listener: listener.reset())
        elif page.changes:
            self._tell(lambda listener: listener.changed(page.changes))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _lost(self, error: Exception) -> None:
        if not self.is_cut_off:
            self.is_cut_off = True
            _log.warning("the changes of the store cannot be followed now: %s", error)
            self._tell(lambda listener: listener.cut_off())

    def _tell(self, tell: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            try:
                tell(listener)
            except Exception:  # noqa: BLE001  # the others are told all the same
                _log.exception("a change of the store could not be told")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
