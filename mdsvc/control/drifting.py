"""Which guests drift now: followed by changes of the store, by reports and by the clock.

Kept in memory of each guest that reports: what it is told, and when the clock alone will change
what is thought of it. A look reads no more than what has changed since the last one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from math import ceil
from time import monotonic
from typing import NamedTuple

from mdsvc.errors import Unavailable
from mdsvc.reports import Report, now_ms
from mdsvc.reports.drift import SKEW_MS, Drift, Told, drift, due
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord
from mdsvc.store.outlines import Outline

_PAGE = 500
"""Guests that are looked at together: some milliseconds."""

_MOST_ALIKE = 10_000

_ALL_MS = 5 * 60_000
"""After so many milliseconds all are heard again: also reports by a server whose clock is further
behind than clocks may be.
"""

_TOLD_FROM, _LONGEST_LEFT = 0.02, 60.0
"""From which share of a reading on it is told how long the rest takes, and what is told at most."""

_SHARE = 0.05
"""Of the time, that looking again and again may take."""


class Drifter(NamedTuple):
    """A guest that drifts, and why."""

    told: Told
    host: str
    project_id: str
    reasons: tuple[Drift, ...]

    @property
    def codes(self) -> tuple[int, frozenset[str]]:
        """What makes it another drift than before: the words tell of the time too."""
        return self.told.generation, frozenset(reason.code for reason in self.reasons)


class Turn(NamedTuple):
    """A guest that drifts from now on, or in another way; or does not any more. ``generation`` is
    what it is told, None where it is deleted.
    """

    uuid: str
    generation: int | None
    reasons: tuple[Drift, ...] = ()


class Reading:
    """Of everybody, by UUID: since when, and ``after`` which it goes on."""

    def __init__(self) -> None:
        self.after = ""
        self._began = monotonic()

    def seconds_left(self) -> float | None:
        """About how many, as UUIDs are spread evenly; None where that cannot be told yet."""
        share = int(self.after[:8] or "0", 16) / 2**32
        took = monotonic() - self._began
        return min(max(1.0, took / share - took), _LONGEST_LEFT) if share > _TOLD_FROM else None


class Drifting:
    """The guests that drift, as of the last ``look``."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._drifting: dict[str, Drifter] = {}
        self._damaged: dict[str, BadRecord] = {}
        self._known: dict[str, Outline] = {}
        self._alike: dict[Told, Told] = {}
        self._due: dict[str, int] = {}
        self._position: int | None = None
        self._heard_at = self._all_heard_at = 0
        self._looked_at = -sys.float_info.max
        self._took = 0.0
        self._reading = Reading()
        self._watchers: list[dict[str, Turn]] = []
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()

    async def count(self) -> int:
        """How many there are. Raises what the store raises."""
        await self.look()
        return len(self._drifting)

    @property
    def guests(self) -> Mapping[str, Drifter]:
        """Those that drift, by UUID."""
        return self._drifting

    @property
    def damaged(self) -> Mapping[str, BadRecord]:
        """Those that report, and whose records cannot be read."""
        return self._damaged

    @property
    def pause(self) -> float:
        """Seconds after which whoever looks again and again may do so."""
        return max(1.0, self._took / _SHARE)

    async def look(self, max_age: float = 0.0) -> None:
        """Be up to date; as of so many seconds ago will do. Raises what the store raises.

        It goes on where whoever waits for it does not any more: the first look takes long.
        """
        if monotonic() - self._looked_at < max_age:
            return
        await asyncio.shield(self._upcoming())

    async def look_within(self, seconds: float | None) -> None:
        """The same for whoever waits so long for the first look, which reads everybody and goes on
        meanwhile. Raises Unavailable, which says how long it will take.
        """
        if self._position is None:
            look = self._upcoming()
            await asyncio.wait({look}, timeout=seconds)
            if not look.done():
                left = self._reading.seconds_left()
                raise Unavailable(
                    "which guests drift is being found out, as after each start"
                    + (f"; it takes about {ceil(left)} s more" if left else ""),
                    left,
                )
        await self.look()

    @asynccontextmanager
    async def warm(self, asked_by: Collection[object]) -> AsyncIterator[None]:
        """Where anybody asks, begin the first look with the block, so that it is done before they
        wait for it. At the end of the block none goes on.
        """
        looks = {self._upcoming()} if asked_by else set()
        try:
            yield
        finally:
            looks |= self._looks
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    @contextmanager
    def watched(self) -> Iterator[dict[str, Turn]]:
        """What turns within the block, by UUID, for whoever takes it out; each guest's last turn.
        It begins with all that drift.
        """
        turns = {uuid: _turn(uuid, drifter) for uuid, drifter in self._drifting.items()}
        self._watchers.append(turns)
        try:
            yield turns
        finally:
            self._watchers = [each for each in self._watchers if each is not turns]

    # ---- a look ----

    def _upcoming(self) -> asyncio.Task[None]:
        """The look that is to begin next."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_next())
            self._looks.add(self._next)
            self._next.add_done_callback(self._ended)
        return self._next

    def _ended(self, look: asyncio.Task[None]) -> None:
        """Nobody may wait for it any more, so nobody is told of its error: another one comes."""
        self._looks.discard(look)
        if not look.cancelled():
            look.exception()

    async def _look_next(self) -> None:
        async with self._looking:
            self._next = None  # who comes from now on wants to know what happens from now on
            began = monotonic()
            await self._look()
            self._looked_at, self._took = began, monotonic() - began

    async def _look(self) -> None:
        now, position = self._clock(), await self._store.position()
        changed = await self._changed(position)
        if changed is None:
            await self._read_all()
            self._all_heard_at = now
        else:
            await self._read(changed)
            is_set_back = now < self._heard_at
            hears_all = is_set_back or now - self._all_heard_at >= _ALL_MS
            await self._hear(0 if hears_all else self._heard_at - SKEW_MS)
            self._all_heard_at = now if hears_all else self._all_heard_at
            await self._judge_again([uuid for uuid, at in self._due.items() if at <= now])
        self._position, self._heard_at = position, now

    async def _changed(self, position: int) -> Sequence[str] | None:
        """The guests that have changed since the last look; None where that cannot be told."""
        at, changed = self._position, dict[str, None]()
        while at is not None and at != position:
            page = await self._store.changes(at)
            if page.reset:
                return None
            changed |= dict.fromkeys(c.key for c in page.changes if c.kind == "instance")
            at = min(position, page.position)
        return None if at is None else list(changed)

    async def _hear(self, since: int) -> None:
        after: str | None = ""
        while after is not None:
            reports = await self._store.reports_after(after, _PAGE, since)
            for uuid in reports.keys() & self._known.keys():
                self._judge(uuid, reports[uuid])
            await self._read([uuid for uuid in reports if uuid not in self._known])
            after = max(reports) if len(reports) == _PAGE else None

    async def _judge_again(self, uuids: Sequence[str]) -> None:
        for some in _pages(uuids):
            reports = await self._store.reports(some)
            for uuid in some:
                if uuid in reports:
                    self._judge(uuid, reports[uuid])

    # ---- guests ----

    async def _read_all(self) -> None:
        """Everybody who reports, and those of whom something was known before."""
        gone = {*self._known, *self._damaged}
        self._reading = Reading()
        after: str | None = ""
        while after is not None:
            self._reading.after = after
            reports = await self._store.reports_after(after, _PAGE, 0)
            await self._take(list(reports), reports)
            gone -= reports.keys()
            after = max(reports) if len(reports) == _PAGE else None
        await self._read(sorted(gone))

    async def _read(self, uuids: Sequence[str]) -> None:
        """Guests of which nothing is known, or that have changed."""
        for some in _pages(uuids):
            await self._take(some, await self._store.reports(some))

    async def _take(self, uuids: Sequence[str], reports: Mapping[str, Report]) -> None:
        """Guests as they are now, with what they report."""
        kept = reports, self._known, self._damaged
        asked = [uuid for uuid in uuids if any(uuid in each for each in kept)]
        guests = await self._store.outlines(asked) if asked else {}
        for uuid in asked:
            guest = guests.get(uuid)
            self._damaged.pop(uuid, None)
            if isinstance(guest, Outline) and uuid in reports:
                self._known[uuid] = self._known_of(guest)
                self._judge(uuid, reports[uuid])
                continue
            if isinstance(guest, BadRecord) and uuid in reports:
                self._damaged[uuid] = guest
            self._forget(uuid, guest)

    def _known_of(self, guest: Outline) -> Outline:
        """Many guests are told the same: it is kept once."""
        if len(self._alike) >= _MOST_ALIKE:
            self._alike.clear()
        told = self._alike.setdefault(guest.told, guest.told)
        return Outline(told, sys.intern(guest.host), sys.intern(guest.project_id))

    def _forget(self, uuid: str, guest: Outline | BadRecord | None) -> None:
        known = self._known.pop(uuid, None)
        self._due.pop(uuid, None)
        if self._drifting.pop(uuid, None) and known:
            told = guest.told if isinstance(guest, Outline) else known.told
            self._tell(Turn(uuid, None if guest is None else told.generation))

    def _judge(self, uuid: str, report: Report) -> None:
        known, now = self._known[uuid], self._clock()
        reasons = drift(known.told, report, now)
        before = self._drifting.pop(uuid, None)
        at = due(report, now)
        if at is None:
            self._due.pop(uuid, None)
        else:
            self._due[uuid] = at
        if reasons:
            drifter = self._drifting[uuid] = Drifter(*known, reasons)
            if before is None or before.codes != drifter.codes:
                self._tell(_turn(uuid, drifter))
        elif before:
            self._tell(Turn(uuid, known.told.generation))

    def _tell(self, turn: Turn) -> None:
        for turns in self._watchers:
            turns[turn.uuid] = turn


def _turn(uuid: str, drifter: Drifter) -> Turn:
    return Turn(uuid, drifter.told.generation, drifter.reasons)


def _pages(uuids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (uuids[at : at + _PAGE] for at in range(0, len(uuids), _PAGE))
