"""Requests that wait until something changes: parked by its key, and woken by the follower."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from mdsvc.store.feed import Change, Kind


class Sleeper(Protocol):
    """Who is parked."""

    def wake(self) -> None:
        """What it waits for may have changed."""

    def end(self) -> None:
        """Nobody is to wait any more."""


class Parked:
    """One request. Whoever is woken reads what is there now, and may wait once more.

    It is woken at first: what it knows may have been read before it was parked.
    """

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._woken.set()
        self._is_over = False

    def wake(self) -> None:
        """What it waits for may have changed."""
        self._woken.set()

    def end(self) -> None:
        """Nobody waits any more."""
        self._is_over = True
        self._woken.set()

    @property
    def is_over(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._is_over

    async def woken(self, deadline: float) -> bool:
        """Wait until there may be a change, also one since the last time; False once nobody is to
        wait any more, or the event loop's clock has passed the deadline.
        """
        if asyncio.get_running_loop().time() >= deadline:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return False
        if not self._is_over:
            self._woken.clear()
        return not self._is_over


class Waiting:
    """All that wait in this process; a ``Listener`` of its follower. ``is_closed``: nobody is held
    any more.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._parked: dict[tuple[Kind, str], set[Sleeper]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def count(self, kind: Kind, key: str) -> int:
        """How many wait for changes of one thing."""
        return len(self._parked.get((kind, key), ()))

    @contextmanager
    def on(self, kind: Kind, key: str) -> Iterator[Parked]:
        """Park for changes of one thing, within the block."""
        parked = Parked()
        if self.is_closed:
            parked.end()
        self.add(kind, key, parked)
        try:
            yield parked
        finally:
            self.remove(kind, key, parked)

    def add(self, kind: Kind, key: str, sleeper: Sleeper) -> None:
        """Park for changes of one thing."""
        self._parked.setdefault((kind, key), set()).add(sleeper)

    def remove(self, kind: Kind, key: str, sleeper: Sleeper) -> None:
        """It is parked no more, if it was."""
        here = self._parked.get((kind, key), set())
        here.discard(sleeper)
        if not here:
            self._parked.pop((kind, key), None)

    def wake(self, uuid: str) -> None:
        """What a guest is told has changed, though its record has not."""
        self._wake("instance", uuid)

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._wake(change.kind, change.key)

    def reset(self) -> None:
        for parked in self._all():
            parked.wake()

    def cut_off(self) -> None:
        """They wait on: what has changed meanwhile is told later."""

    def close(self) -> None:
        """Let everybody go, and hold nobody from now on."""
        self.is_closed = True
        for parked in self._all():
            parked.end()

    def _wake(self, kind: Kind, key: str) -> None:
        for parked in list(self._parked.get((kind, key), ())):
            parked.wake()

    def _all(self) -> list[Sleeper]:
        return [parked for here in self._parked.values() for parked in here]
