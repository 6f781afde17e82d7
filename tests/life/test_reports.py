"""What guests report, over their lives: reports, changes, rebuilds, deletions, UUIDs used again."""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from mdsvc.control.drifting import Drifting
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import (
    change_instance,
    create_instance,
    delete_instance,
    get_instance,
    list_instances,
)
from mdsvc.control.reports import Wanted, find_status, list_by_drift, list_drifted
from mdsvc.control.resizing import rebuild_instance
from mdsvc.cpuset import CpuSet
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.policy.flavor import Flavor
from mdsvc.reports import Status, now_ms
from mdsvc.store.memory import MemoryStore
from tests.stores.values import MIXED, host, uuid

NUMBERS = st.integers(1, 3)


def described(number: int) -> Instance:
    flavor = Flavor(vcpus=4, memory_mb=64, extra_specs=MIXED)
    return Instance(uuid=uuid(number), project_id="p", name=f"guest-{number}", flavor=flavor)


class Lives(RuleBasedStateMachine):
    """``said`` has what a guest has reported in this life of it."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.said: dict[int, Status] = {}
        self.there: set[int] = set()

    @initialize()
    def begin(self) -> None:
        asyncio.run(add_host(self.store, host()))

    @rule(number=NUMBERS)
    def create(self, number: int) -> None:
        if number not in self.there:
            asyncio.run(create_instance(self.store, described(number), None))
            self.there.add(number)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), behind=st.integers(0, 2), state=st.sampled_from(["isolated", "broken"]))
    def report(self, data: st.DataObject, behind: int, state: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.there)))
        guest = asyncio.run(get_instance(self.store, uuid(number)))
        status = Status(
            generation=max(0, guest.generation - behind),
            state=state,
            isolated_cpus=CpuSet.parse("2-3"),
        )
        asyncio.run(self.store.set_report(uuid(number), status, now_ms()))
        self.said[number] = status

    @rule(number=NUMBERS, name=st.sampled_from("abc"))
    def change(self, number: int, name: str) -> None:
        if number in self.there:
            asyncio.run(change_instance(self.store, replace(described(number), name=name)))

    @rule(number=NUMBERS)
    def rebuild(self, number: int) -> None:
        if number in self.there:
            asyncio.run(rebuild_instance(self.store, uuid(number)))
            self.said.pop(number, None)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if number in self.there:
            asyncio.run(delete_instance(self.store, uuid(number)))
            self.there.remove(number)
            self.said.pop(number, None)

    @invariant()
    def what_was_said_in_this_life_is_what_is_known(self) -> None:
        stored = asyncio.run(self.store.reports())
        known = {key: report.status for key, report in stored.items()}
        assert known == {uuid(number): status for number, status in self.said.items()}

    @invariant()
    def each_guest_drifts_or_does_not(self) -> None:
        drifting = asyncio.run(list_drifted(self.store))
        well = self.listed(Wanted(drifted=False), 100)
        everyone = asyncio.run(list_instances(self.store))
        assert sorted([*drifting, *well], key=lambda guest: guest.uuid) == list(everyone)
        for guest in everyone:
            status = asyncio.run(find_status(self.store, guest))
            assert bool(status and status.drift) == (guest in drifting)

    def listed(self, wanted: Wanted, limit: int) -> list[PlacedInstance]:
        """All of it, page by page."""
        guests: list[PlacedInstance] = []
        after: str | None = ""
        while after is not None:
            page = replace(wanted, after=after)
            found, after = asyncio.run(list_by_drift(self.store, Drifting(self.store), page, limit))
            assert len(found) <= limit
            guests += found
        return guests

    @invariant()
    def pages_are_of_all_of_them(self) -> None:
        drifting = asyncio.run(list_drifted(self.store))
        for wanted in (Wanted(drifted=True), Wanted(drifted=True, host="h1", project_id="p")):
            assert self.listed(wanted, 1) == self.listed(wanted, 100) == list(drifting)
        assert self.listed(Wanted(drifted=True, host="h2"), 1) == []
        assert self.listed(Wanted(drifted=True, project_id="q"), 1) == []

    @invariant()
    def who_says_that_it_is_broken_drifts_and_who_never_spoke_does_not(self) -> None:
        drifting = {guest.uuid for guest in asyncio.run(list_drifted(self.store))}
        broken = {uuid(n) for n, status in self.said.items() if status.state == "broken"}
        assert broken <= drifting <= {uuid(n) for n in self.said}


TestLives = Lives.TestCase
