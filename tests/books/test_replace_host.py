"""A host described anew: its guests stay as they are, or the host does (R26, R27)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.control.hosts import (
    Replaced,
    add_host,
    get_host,
    list_hosts,
    replace_found_host,
    replace_host,
)
from mdsvc.control.instances import create_instance, delete_instance, get_instance
from mdsvc.cpuset import CpuSet
from mdsvc.discovery import Machine, discovered
from mdsvc.errors import BadInput, CannotStay, Conflict
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import BufferedTransaction
from mdsvc.topology import Host, HostCell
from tests.books.truth import untruths
from tests.books.values import (
    DEDICATED,
    FORM,
    HUGE,
    MIXED,
    NODE,
    Json,
    guest,
    host,
    stored,
    uuid,
    with_cell,
)


async def emulators(store: MemoryStore, *numbers: int) -> list[str]:
    return [str((await get_instance(store, uuid(n))).layout.emulator_cpus) for n in numbers]


def named(replaced: Replaced) -> list[tuple[str, int]]:
    return [(guest.name, guest.generation) for guest in replaced.renewed]


# ---- what is taken ----


async def test_a_newer_service_version_changes_nothing_else() -> None:
    store = await stored(host(service_version=1), guest(1, DEDICATED), guest(2, NODE), guest(3, {}))
    before, guests = await get_host(store, "h1")
    assert await replace_host(store, host()) == Replaced(replace(before, service_version=2))
    assert await get_host(store, "h1") == (replace(before, service_version=2), guests)


async def test_a_host_that_is_not_there_is_registered() -> None:
    store = MemoryStore()
    assert await replace_host(store, host()) == Replaced(host(), is_new=True)
    assert await list_hosts(store) == [host()]


async def test_the_use_is_worked_out_from_the_guests_and_not_from_what_was_stored() -> None:
    store = await stored(host(), guest(1, MIXED))
    right = await get_host(store, "h1")
    async with store.transaction() as tx:
        read = await tx.get_host("h1")
        assert read
        await tx.update_host(replace(read, floating_vcpus=3, floating_memory_mb=64))
    await replace_host(store, host())
    assert await get_host(store, "h1") == right


async def test_guests_go_from_a_changed_host_and_leave_nothing() -> None:
    specs = {"hw:cpu_thread_policy": "isolate", "hw:emulator_threads_policy": "isolate"}
    store = await stored(host(), guest(1, DEDICATED | specs, 1), guest(2, HUGE), guest(3, {}))
    alone = with_cell(siblings=[], pages=FORM["cells"][0]["pages"][::-1])
    await replace_host(store, alone)
    for number in (1, 2, 3):
        await delete_instance(store, uuid(number))
    assert await get_host(store, "h1") == (alone, [])


# ---- what floats ----


async def test_a_dedicated_cpu_is_dedicated_when_the_sets_have_changed() -> None:
    """pCPU 1 was shared; the emulator threads of who was there leave it before it is given away."""
    flat = host(cells=[{"id": 0, "memory_mb": 65536, "cpus": "0-5"}], cpu_dedicated_set="2-5")
    store = await stored(flat, guest(1, MIXED))
    assert await emulators(store, 1) == ["0-2"]
    moved = replace(flat, cpu_shared_set=CpuSet.of([0]), cpu_dedicated_set=CpuSet.of(range(1, 6)))
    replaced = await replace_host(store, moved)
    assert named(replaced) == [("g1", 2)]
    assert await emulators(store, 1) == ["0,2"]
    placed = await create_instance(store, guest(2, DEDICATED, 4), None)
    assert placed.layout.cells[0].pcpus == CpuSet.parse("1,3-5")
    assert untruths({"h1": await get_host(store, "h1")}) == []


FLOATS = {
    "mixed, not set": (MIXED, "0-2", "0,2"),
    "mixed, share": (MIXED | {"hw:emulator_threads_policy": "share"}, "0-1", "0"),
    "dedicated, share": (DEDICATED | {"hw:emulator_threads_policy": "share"}, "0-1", "0"),
    "shared in a node": (NODE, "0-1", "0"),
    "shared in a node, share": (NODE | {"hw:emulator_threads_policy": "share"}, "0-1", "0"),
    "mixed, isolate": (MIXED | {"hw:emulator_threads_policy": "isolate"}, "3", "3"),
    "no node": ({}, "", ""),
}


@pytest.mark.parametrize(("specs", "was", "is_now"), FLOATS.values(), ids=FLOATS)
async def test_who_floats_over_the_shared_cpus_is_renewed_with_them(
    specs: Mapping[str, str], was: str, is_now: str
) -> None:
    one = 1 if specs in (NODE, FLOATS["shared in a node, share"][0], {}) else 2
    store = await stored(host(), guest(1, specs, one))
    assert await emulators(store, 1) == [was]
    replaced = await replace_host(store, host(cpu_shared_set="0"))
    assert named(replaced) == [("g1", 2)]
    assert await emulators(store, 1) == [is_now]


@pytest.mark.parametrize("emulator", [{}, {"hw:emulator_threads_policy": "isolate"}])
async def test_who_is_all_dedicated_is_not_renewed(emulator: dict[str, str]) -> None:
    store = await stored(host(), guest(1, DEDICATED | emulator))
    for change in ({"cpu_shared_set": "0"}, {"cpu_shared_set": ""}, {"cpu_allocation_ratio": 1.0}):
        assert named(await replace_host(store, host(**change))) == []
    assert (await get_instance(store, uuid(1))).generation == 1


async def test_share_floats_over_its_own_pins_while_no_cpu_is_shared() -> None:
    """R12."""
    store = await stored(host(), guest(1, DEDICATED | {"hw:emulator_threads_policy": "share"}))
    told = []
    for shared in ("", "0", "0", "0-1"):
        replaced = await replace_host(store, host(cpu_shared_set=shared))
        told.append((*await emulators(store, 1), len(replaced.renewed)))
    assert told == [("2-3", 1), ("0", 1), ("0", 0), ("0-1", 1)]
    assert (await get_instance(store, uuid(1))).generation == 4


async def test_a_layout_from_before_such_changes_were_seen_is_put_right() -> None:
    store = await stored(host(), guest(1, MIXED))
    old = await get_instance(store, uuid(1))
    wide = replace(old.layout, emulator_cpus=CpuSet.parse("0-6"))
    async with store.transaction() as tx:
        await tx.update_instance(replace(old, layout=wide, generation=2))
    assert named(await replace_host(store, host())) == [("g1", 3)]
    assert (await get_instance(store, uuid(1))).layout == old.layout


# ---- what was found out anew ----


def found(
    cpus: str = "0-7", shared: str | None = None, dedicated: str | None = None
) -> tuple[Host, CpuSet | None, CpuSet | None]:
    sets = [None if text is None else CpuSet.parse(text) for text in (shared, dedicated)]
    cell = HostCell(id=0, cpus=CpuSet.parse(cpus), memory_mb=2048)
    return discovered("h1", Machine([cell], (), CpuSet()), *sets).host, sets[0], sets[1]


async def test_what_cannot_be_found_out_is_kept() -> None:
    registered = host(packing="pack", service_version=5)
    store = await stored(registered, guest(1, DEDICATED))
    replaced = await replace_found_host(store, *found())
    assert replaced.host.cells[0].memory_mb == 2048
    assert replaced.host.cells[0].pinned == CpuSet.parse("2-3")
    assert replace(replaced.host, cells=registered.cells) == registered
    assert await get_host(store, "h1") == (replaced.host, [await get_instance(store, uuid(1))])


async def test_the_architecture_is_found_out() -> None:
    store = await stored(host(), guest(1, DEDICATED))
    on, *sets = found()
    replaced = await replace_found_host(store, replace(on, arch="ppc64le"), *sets)
    assert replaced.host.arch == "ppc64le"


SETS = {
    "neither": (found(), "0-1", "2-7"),
    "shared": (found(shared="0"), "0", "2-7"),
    "dedicated": (found(dedicated="2-5"), "0-1", "2-5"),
    "both": (found(shared="7", dedicated="1-3"), "7", "1-3"),
    "none shared": (found(shared=""), "", "2-7"),
}


@pytest.mark.parametrize(("new", "shared", "dedicated"), SETS.values(), ids=SETS)
async def test_sets_that_are_not_given_are_kept(
    new: tuple[Host, CpuSet | None, CpuSet | None], shared: str, dedicated: str
) -> None:
    store = await stored(host(), guest(1, DEDICATED))
    replaced = await replace_found_host(store, *new)
    assert str(replaced.host.cpu_shared_set) == shared
    assert str(replaced.host.cpu_dedicated_set) == dedicated


async def test_a_machine_that_is_not_registered_is_as_it_was_found() -> None:
    store = MemoryStore()
    new, shared, dedicated = found()
    assert await replace_found_host(store, new, shared, dedicated) == Replaced(new, is_new=True)
    assert str(new.cpu_shared_set) == "0-7"


async def test_a_kept_set_whose_cpus_are_gone_is_asked_for() -> None:
    store = await stored(host(), guest(1, DEDICATED))
    before = store._tables
    with pytest.raises(Conflict, match=r"host h1: expected --dedicated, .* CPUs 6-7 are not"):
        await replace_found_host(store, *found(cpus="0-5"))
    assert store._tables == before
    replaced = await replace_found_host(store, *found(cpus="0-5", dedicated="2-5"))
    assert str(replaced.host.cpu_dedicated_set) == "2-5"


async def test_who_is_on_cpus_that_are_gone_is_named_first() -> None:
    store = await stored(host(), guest(1, DEDICATED))
    with pytest.raises(CannotStay, match=uuid(1)):
        await replace_found_host(store, *found(cpus="0-1,4-7"))


async def test_a_set_that_overlaps_the_one_that_is_kept_is_bad_input() -> None:
    store = await stored(host())
    with pytest.raises(BadInput, match=r"cpu_shared_set and cpu_dedicated_set: .* 2 is"):
        await replace_found_host(store, *found(shared="0-2"))


# ---- at the same time ----

Rival = Callable[[MemoryStore], Awaitable[object]]


class Overtaken(MemoryStore):
    """While the next transaction is at its end, a rival's begins and is done."""

    rival: Rival | None = None

    @override
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        async with super().transaction() as tx:
            yield tx
            rival, self.rival = self.rival, None
            if rival:
                await rival(self)


async def test_a_guest_that_comes_meanwhile_is_seen() -> None:
    store = Overtaken()
    await add_host(store, host())
    store.rival = lambda s: create_instance(s, guest(1, DEDICATED), None)
    with pytest.raises(CannotStay, match=uuid(1)):
        await replace_host(store, host(cpu_dedicated_set="4-7"))


@pytest.mark.parametrize("change", [{"cpu_dedicated_set": "4-7"}, {"cpu_shared_set": "0"}])
async def test_a_guest_that_comes_meanwhile_sees_the_host_as_it_is(change: Json) -> None:
    store = Overtaken()
    await add_host(store, host())
    store.rival = lambda s: replace_host(s, host(**change))
    placed = await create_instance(store, guest(1, MIXED), None)
    books = await get_host(store, "h1")
    assert books[1] == [placed]
    assert untruths({"h1": books}) == []
