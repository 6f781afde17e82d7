"""What the operator's own services add to ``vendor_data2.json``, a part for each.

All targets are asked at once, and each once for a guest and generation; requests that come
meanwhile wait for the same answers, and nobody longer than the deadline. A target that fails has
the last good answer for this guest, or else ``{}``, as with Nova; it is asked again after a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple, Protocol

from msgspec import Raw

from mdsvc.instance import PlacedInstance
from mdsvc.logs import one_line
from mdsvc.nova.breaker import Breaker
from mdsvc.store.feed import Change
from mdsvc.vendordata.asking import Failed, Outcome, question
from mdsvc.vendordata.targets import Target

__all__ = ["Parts", "Vendordata"]

RETRY_SECONDS = 15.0
"""After how long a target that failed for a guest is asked again, if the guest asks."""

ROOM = 32 * 2**20
"""Bytes of all that is kept."""

_OVERHEAD = 500
_GENERATIONS = 2
"""Of a guest that are kept: a read may be a moment old."""

_NOTHING = b"{}"

Parts = Mapping[str, Raw]
"""The targets' answers by their names, each JSON."""

_log = logging.getLogger(__name__)


class Asks(Protocol):
    """Asks one target. Raises Failed."""

    async def ask(self, target: Target, body: bytes, seconds: float) -> bytes: ...


class _Key(NamedTuple):
    """Whose answers they are: a UUID may have been another project's guest before."""

    uuid: str
    project_id: str


class _Moment(NamedTuple):
    """What the answers are to: a guest may be made anew under its UUID and generation."""

    generation: int
    question: bytes


class _Good(NamedTuple):
    """An answer, and the generation that it is of: no earlier one gets it."""

    generation: int
    answer: bytes


class _Guest:
    """What is kept of one guest."""

    def __init__(self) -> None:
        self.answers: dict[_Moment, dict[str, bytes]] = {}
        self.failed_at: dict[tuple[_Moment, str], float] = {}
        self.last_good: dict[str, _Good] = {}

    def at(self, moment: _Moment) -> dict[str, bytes]:
        """The answers to this; those of long ago are forgotten."""
        if moment not in self.answers:
            self.answers[moment] = {}
            while len(self.answers) > _GENERATIONS:
                old = next(iter(self.answers))
                del self.answers[old]
                self.failed_at = {key: at for key, at in self.failed_at.items() if key[0] != old}
        return self.answers[moment]

    @property
    def size(self) -> int:
        kept = {id(good.answer): len(good.answer) for good in self.last_good.values()}
        for moment, answers in self.answers.items():
            kept[id(moment)] = len(moment.question) + _OVERHEAD
            kept |= {id(body): len(body) for body in answers.values()}
        return sum(kept.values()) + _OVERHEAD


class Vendordata:
    """The targets' answers; a ``Listener`` of the process's follower, to forget who is gone.

    ``count`` is told what came of each request, by the target's name. ``renewed`` is told the UUID
    of a guest for which a target that had failed has an answer now.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        asking: Asks,
        seconds: float,
        clock: Callable[[], float] = monotonic,
        room: int = ROOM,
    ) -> None:
        self.count: Callable[[str, Outcome], None] = lambda _name, _outcome: None
        self.renewed: Callable[[str], None] = lambda _uuid: None
        self._targets = targets
        self._asking = asking
        self._seconds = seconds
        self._clock = clock
        self._room = room
        self._breakers = {target.name: Breaker(clock) for target in targets}
        self._said: dict[str, str] = {}
        self._guests: dict[_Key, _Guest] = {}
        self._flights: dict[tuple[_Key, _Moment], asyncio.Task[None]] = {}
        self._size = 0

    def held(self) -> int:
        """Bytes of what is kept."""
        return self._size

    async def of(self, guest: PlacedInstance) -> Parts:
        """What is to be added for this guest, each target by its name, within the deadline."""
        key = _Key(guest.uuid, guest.project_id)
        moment = _Moment(guest.generation, question(guest))
        if self._due(key, moment):
            flight = self._flights.get((key, moment))
            if flight is None:
                flight = asyncio.create_task(self._fly(key, moment))
                self._flights[key, moment] = flight
            # Whoever hangs up lets it go on, for the others and for the next time.
            await asyncio.wait({flight}, timeout=self._seconds)
        return self._parts(key, moment)

    def _parts(self, key: _Key, moment: _Moment) -> Parts:
        kept = self._guests.get(key) or _Guest()
        answers = kept.answers.get(moment, {})

        def part(name: str) -> bytes:
            last = kept.last_good.get(name)
            older = last.answer if last and last.generation <= moment.generation else _NOTHING
            return answers.get(name, older)

        return {target.name: Raw(part(target.name)) for target in self._targets}

    def _due(self, key: _Key, moment: _Moment) -> list[Target]:
        """The targets that are to be asked now."""
        kept = self._guests.get(key)
        if kept is None:
            return list(self._targets)
        answers = kept.answers.get(moment, {})
        return [
            target
            for target in self._targets
            if target.name not in answers
            and self._clock() - kept.failed_at.get((moment, target.name), -RETRY_SECONDS)
            >= RETRY_SECONDS
        ]

    async def _fly(self, key: _Key, moment: _Moment) -> None:
        """Ask all that are due, at once."""
        try:
            due = self._due(key, moment)
            await asyncio.gather(*(self._one(target, key, moment) for target in due))
        finally:
            del self._flights[key, moment]

    async def _one(self, target: Target, key: _Key, moment: _Moment) -> None:
        breaker = self._breakers[target.name]
        if not breaker.lets_through():
            self._failed(key, moment, target.name, self._clock() - RETRY_SECONDS)
            return
        try:
            answer = await self._asking.ask(target, moment.question, self._seconds)
        except Failed as error:
            if error.outcome in ("timeout", "unreachable"):
                breaker.failed()
            else:
                breaker.succeeded()  # it is not silent
            self.count(target.name, error.outcome)
            self._say(target, error)
            self._failed(key, moment, target.name, self._clock())
            return
        breaker.succeeded()
        self.count(target.name, "ok")
        self._say(target, None)
        self._answered(key, moment, target.name, answer)

    def _say(self, target: Target, error: Failed | None) -> None:
        """One line when a target begins to fail, or fails in another way, and when it no longer
        does: a thousand guests are no thousand lines.
        """
        outcome = error.outcome if error else "ok"
        if self._said.get(target.name, "ok") == outcome:
            return
        self._said[target.name] = outcome
        if error:
            _log.warning("vendor data of %s: %s", one_line(target.name), one_line(str(error)))
        else:
            _log.info("vendor data of %s: it answers again", one_line(target.name))

    def _answered(self, key: _Key, moment: _Moment, name: str, answer: bytes) -> None:
        with self._kept(key) as kept:
            kept.at(moment)[name] = answer
            last = kept.last_good.get(name)
            if last is None or last.generation <= moment.generation:
                kept.last_good[name] = _Good(moment.generation, answer)
            had_failed = kept.failed_at.pop((moment, name), None) is not None
        if had_failed:
            self.renewed(key.uuid)

    def _failed(self, key: _Key, moment: _Moment, name: str, at: float) -> None:
        with self._kept(key) as kept:
            kept.at(moment)
            kept.failed_at[moment, name] = at

    @contextmanager
    def _kept(self, key: _Key) -> Iterator[_Guest]:
        """To change what is kept of a guest, who is the last one then to make room for others."""
        guest = self._guests.pop(key, None)
        self._size -= guest.size if guest else 0
        guest = self._guests[key] = guest or _Guest()
        yield guest
        self._size += guest.size
        while self._size > self._room and len(self._guests) > 1:
            self._size -= self._guests.pop(next(iter(self._guests))).size

    # ---- as a listener ----

    def changed(self, changes: Sequence[Change]) -> None:
        """Who is gone is forgotten: its UUID may become another guest's."""
        gone = {each.key for each in changes if each.kind == "instance" and each.deleted}
        for key in [key for key in self._guests if key.uuid in gone]:
            self._size -= self._guests.pop(key).size

    def reset(self) -> None:
        """What has changed cannot be told, and it may be that somebody is gone."""
        self._guests.clear()
        self._size = 0

    def cut_off(self) -> None:
        """What is kept is as good as before."""

    async def close(self) -> None:
        """Ask no more."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
