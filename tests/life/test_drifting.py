"""Drift, followed: whatever happens, and as the clock goes on, it is what a look at all guests
finds; and whoever is told of each turn knows the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.control import drifting
from mdsvc.control.drifting import Drifting, Turn
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import (
    change_instance,
    create_instance,
    delete_instance,
    get_instance,
    list_instances,
)
from mdsvc.control.resizing import rebuild_instance
from mdsvc.cpuset import CpuSet
from mdsvc.reports import Report, Status, now_ms
from mdsvc.reports.drift import GRACE_MS, SILENT_MS, Told, drift, due
from mdsvc.store.memory import MemoryStore
from tests.life.test_reports import described
from tests.stores.values import host, uuid

NUMBERS = st.integers(1, 3)
TOLD = Told(3, CpuSet.parse("2-3"))
MINUTE = 60_000


@contextmanager
def pages_of_two() -> Iterator[None]:
    """So that what is read page by page is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drifting, "_PAGE", 2)
        yield


class Followed(RuleBasedStateMachine):
    """``told`` is what somebody knows who is told each turn: which drift, with their codes."""

    def __init__(self) -> None:
        super().__init__()
        self.later = 0
        self.there: set[int] = set()
        self.store = MemoryStore()
        self.drifting = Drifting(self.store, self.clock)
        self.told: dict[str, tuple[int | None, set[str]]] = {}
        self.stack = ExitStack()
        self.stack.enter_context(pages_of_two())
        self.turns: dict[str, Turn] = self.stack.enter_context(self.drifting.watched())

    @override
    def teardown(self) -> None:
        self.stack.close()

    def clock(self) -> int:
        return now_ms() + self.later

    @initialize()
    def begin(self) -> None:
        asyncio.run(add_host(self.store, host()))

    @rule(minutes=st.sampled_from([1, 3, 31]))
    def wait(self, minutes: int) -> None:
        self.later += minutes * MINUTE

    @rule(minutes=st.sampled_from([1, 3, 31, 5000]))
    def set_the_clock_back(self, minutes: int) -> None:
        self.later -= minutes * MINUTE

    @rule(number=NUMBERS)
    def create(self, number: int) -> None:
        if number not in self.there:
            asyncio.run(create_instance(self.store, described(number), None))
            self.there.add(number)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), behind=st.integers(0, 1), late=st.sampled_from([0, 5]))
    def report(self, data: st.DataObject, behind: int, late: int) -> None:
        """By a server whose clock may be behind."""
        number = data.draw(st.sampled_from(sorted(self.there)))
        state = data.draw(st.sampled_from(["isolated", "broken"]))
        guest = asyncio.run(get_instance(self.store, uuid(number)))
        status = Status(generation=guest.generation - behind, state=state)
        asyncio.run(self.store.set_report(uuid(number), status, self.clock() - late * 1000))

    @rule(number=NUMBERS, name=st.sampled_from("abc"))
    def change(self, number: int, name: str) -> None:
        if number in self.there:
            asyncio.run(change_instance(self.store, replace(described(number), name=name)))

    @rule(number=NUMBERS)
    def rebuild(self, number: int) -> None:
        if number in self.there:
            asyncio.run(rebuild_instance(self.store, uuid(number)))

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if number in self.there:
            asyncio.run(delete_instance(self.store, uuid(number)))
            self.there.remove(number)

    @rule()
    def lose_the_thread(self) -> None:
        """As where what has changed cannot be told any more."""
        self.drifting._position = None

    @rule()
    def look(self) -> None:
        asyncio.run(self.drifting.look())
        everybody = asyncio.run(list_instances(self.store))
        reports = asyncio.run(self.store.reports())
        now = self.clock()
        expected = {
            guest.uuid: (guest.generation, {reason.code for reason in reasons})
            for guest in everybody
            if (reasons := drift(Told.of(guest), reports.get(guest.uuid), now))
        }
        self.follow()
        assert self.told == expected
        found = self.drifting.guests
        codes = {key: (d.told.generation, {r.code for r in d.reasons}) for key, d in found.items()}
        assert codes == expected

    def follow(self) -> None:
        for key, turn in self.turns.items():
            self.told[key] = turn.generation, {reason.code for reason in turn.reasons}
            if not turn.reasons:
                del self.told[key]
            if turn.generation is None:
                assert key not in {uuid(number) for number in self.there}
        self.turns.clear()

    @invariant()
    def who_comes_now_is_told_what_the_others_know(self) -> None:
        self.follow()
        with self.drifting.watched() as turns:
            assert {
                key: (turn.generation, {reason.code for reason in turn.reasons})
                for key, turn in turns.items()
            } == self.told


TestFollowed = Followed.TestCase


@given(
    received_at=st.integers(0, 3 * SILENT_MS),
    told_at=st.integers(0, 3 * SILENT_MS),
    now=st.integers(0, 3 * SILENT_MS),
    later=st.integers(0, 3 * SILENT_MS),
    generation=st.sampled_from([2, 3]),
)
def test_until_it_is_due_the_clock_changes_nothing(
    received_at: int, told_at: int, now: int, later: int, generation: int
) -> None:
    report = Report(status=Status(generation=generation), received_at=received_at, told_at=told_at)
    at = due(report, now)
    then = now + later if at is None else min(now + later, at - 1)
    before, after = ({r.code for r in drift(TOLD, report, moment)} for moment in (now, then))
    assert before == after


def test_when_a_guest_is_due() -> None:
    heard = Report(status=Status(), received_at=1000, told_at=0)
    assert due(heard, 1000) == 1000 + SILENT_MS
    assert due(heard, 1000 + SILENT_MS) is None
    behind = replace(heard, told_at=2000)
    assert due(behind, 2000) == 2000 + GRACE_MS
    assert due(behind, 2000 + GRACE_MS) == 1000 + SILENT_MS


async def test_who_asks_while_it_is_looked_is_told_of_what_came_before_they_asked() -> None:
    """And one look does for all that ask meanwhile."""
    store = MemoryStore()
    await add_host(store, host())
    await create_instance(store, described(1), None)
    looks = Drifting(store)
    first = asyncio.create_task(looks.look())
    await asyncio.sleep(0)
    await store.set_report(uuid(1), Status(state="broken"), now_ms())
    assert await asyncio.gather(*(looks.count() for _ in range(5))) == [1] * 5
    await first


async def test_a_look_goes_on_where_nobody_waits_for_it_any_more() -> None:
    store = MemoryStore()
    await add_host(store, host())
    await create_instance(store, described(1), None)
    await store.set_report(uuid(1), Status(state="broken"), now_ms())
    looks = Drifting(store)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await looks.look()
    await looks.look(max_age=60)
    assert set(looks.guests) == {uuid(1)}
