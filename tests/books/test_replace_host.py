"""A host described anew: its guests stay as they are, or the host does (R26, R27)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

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
from mdsvc.discovery import found_host
from mdsvc.errors import BadInput, CannotStay, Conflict
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.placing.standing.breaches import Breach
from mdsvc.store.memory import MemoryStore, MemoryTransaction
from mdsvc.topology import Host, HostCell, PagePool
from tests.books.truth import untruths

Json = dict[str, Any]

FORM: Json = {
    "name": "h1",
    "cpu_shared_set": "0-1",
    "cpu_dedicated_set": "2-7",
    "cpu_allocation_ratio": 2.0,
    "ram_allocation_ratio": 1.5,
    "cells": [
        {
            "id": 0,
            "memory_mb": 1024,
            "cpus": "0-7",
            "siblings": ["0-1", "2-3", "4-5", "6-7"],
            "pages": [{"size_kb": 4, "total": 131072}, {"size_kb": 2048, "total": 256}],
        }
    ],
}
DEDICATED = {"hw:cpu_policy": "dedicated"}
MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}
NODE = {"hw:numa_nodes": "1"}
HUGE = {"hw:mem_page_size": "2MB"}


def host(**fields: Any) -> Host:
    return from_builtins({**FORM, **fields}, Host)


def with_cell(**fields: Any) -> Host:
    return host(cells=[{**FORM["cells"][0], **fields}])


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def guest(number: int, specs: Mapping[str, str], vcpus: int = 2, memory_mb: int = 64) -> Instance:
    flavor = {"vcpus": vcpus, "memory_mb": memory_mb, "extra_specs": dict(specs)}
    form = {"uuid": uuid(number), "project_id": "p", "name": f"g{number}", "flavor": flavor}
    return from_builtins(form, Instance)


async def stored(on: Host, *guests: Instance) -> MemoryStore:
    store = MemoryStore()
    await add_host(store, on)
    for each in guests:
        await create_instance(store, each, None)
    return store


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
    assert await replace_host(store, host()) == Replaced(host())
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


# ---- what is refused ----

SPLIT_CELLS = [
    {"id": 0, "memory_mb": 512, "cpus": "0-1,4-7"},
    {"id": 1, "memory_mb": 512, "cpus": "2-3"},
]
OTHER_SIBLINGS = ["0-1", "2,4", "3,5", "6-7"]
THREE = [guest(n, DEDICATED, 2, 160) for n in (1, 2, 3)]
REQUIRE = DEDICATED | {"hw:cpu_thread_policy": "require"}
ISOLATE = DEDICATED | {"hw:cpu_thread_policy": "isolate"}
SHARE_4 = [guest(1, NODE), guest(2, NODE)]
FLOAT_4 = [guest(1, {}), guest(2, {})]
BOTH_SHARE = [guest(1, NODE), guest(2, {})]

REFUSED: dict[str, tuple[list[Instance], Host, list[tuple[int, str]]]] = {
    "an old service under a mixed guest": (
        [guest(1, MIXED), guest(2, DEDICATED)], host(service_version=1), [(1, "service_version")]),
    "a pin that is not dedicated any more": (
        [guest(1, DEDICATED), guest(2, DEDICATED)], host(cpu_dedicated_set="3-7"),
        [(1, "dedicated_cpus")]),
    "a reserved pCPU that is not": (
        [guest(1, DEDICATED | {"hw:emulator_threads_policy": "isolate"})],
        host(cpu_dedicated_set="2-3,5-7"), [(1, "dedicated_cpus")]),
    "a pin that has become shared": (
        [guest(1, DEDICATED)], host(cpu_shared_set="0-2", cpu_dedicated_set="3-7"),
        [(1, "dedicated_cpus")]),
    "pins in another cell than the memory": (
        [guest(1, DEDICATED), guest(2, DEDICATED)], host(cells=SPLIT_CELLS),
        [(1, "dedicated_cpus")]),
    "a cell that is gone": (
        [guest(1, DEDICATED), guest(2, NODE), guest(3, {}, 1)], with_cell(id=1),
        [(1, "host_cell"), (2, "host_cell")]),
    "require without siblings": (
        [guest(1, REQUIRE), guest(2, DEDICATED)], with_cell(siblings=[]), [(1, "thread_policy")]),
    "require, one vCPU, whose sibling is not dedicated": (
        [guest(1, REQUIRE, 1)], host(cpu_dedicated_set="2,4-7"), [(1, "thread_policy")]),
    "require with siblings of others": (
        [guest(1, REQUIRE)], with_cell(siblings=OTHER_SIBLINGS), [(1, "thread_policy")]),
    "isolate, two of whose pCPUs become siblings": (
        [guest(1, ISOLATE)], with_cell(siblings=OTHER_SIBLINGS), [(1, "thread_policy")]),
    "isolate, beside whose pCPU another guest's would be": (
        [guest(1, ISOLATE, 1), guest(2, DEDICATED, 2)], with_cell(siblings=OTHER_SIBLINGS),
        [(1, "dedicated_cpus"), (2, "dedicated_cpus")]),
    "isolate, beside whose pCPU there would be one that is not dedicated": (
        [guest(1, ISOLATE, 1)], host(cpu_dedicated_set="2,4-7"), [(1, "thread_policy")]),
    "no shared CPU in the cell of shared vCPUs": (
        [guest(1, NODE, 1), guest(2, DEDICATED)],
        host(cells=[{**SPLIT_CELLS[0], "cpus": "2-7"}, {**SPLIT_CELLS[1], "cpus": "0-1"}]),
        [(1, "shared_cpus")]),
    "no shared CPU for guests that float": (
        [guest(1, {}, 1), guest(2, DEDICATED)], host(cpu_shared_set=""), [(1, "shared_cpus")]),
    "one guest against itself": (
        [guest(1, NODE, 2), guest(2, {}, 2), guest(3, DEDICATED)],
        host(cpu_shared_set="0", cpu_allocation_ratio=16.0),
        [(1, "shared_cpus"), (2, "shared_cpus")]),
    "the ratio, in a cell": (
        SHARE_4, host(cpu_allocation_ratio=1.5), [(1, "shared_cpus"), (2, "shared_cpus")]),
    "the ratio, floating": (
        FLOAT_4, host(cpu_allocation_ratio=1.5), [(1, "shared_cpus"), (2, "shared_cpus")]),
    "the ratio, in a cell and floating": (
        BOTH_SHARE, host(cpu_allocation_ratio=1.5), [(1, "shared_cpus"), (2, "shared_cpus")]),
    "memory for one of three guests": (
        THREE, with_cell(memory_mb=160, pages=[]), [(1, "memory"), (2, "memory"), (3, "memory")]),
    "dedicated guests never overcommit memory": (
        THREE, with_cell(memory_mb=400, pages=[]), [(1, "memory"), (2, "memory"), (3, "memory")]),
    "memory, floating": (
        [guest(1, {}, 1, 300), guest(2, {}, 1, 300)], with_cell(memory_mb=304, pages=[]),
        [(1, "memory"), (2, "memory")]),
    "memory, of a floating guest against itself": (
        [guest(1, {}, 1, 300)], with_cell(memory_mb=256, pages=[]), [(1, "memory")]),
    "memory, in a cell and floating": (
        [guest(1, DEDICATED, 2, 300), guest(2, {}, 1, 300)],
        with_cell(memory_mb=304, pages=[]), [(1, "memory"), (2, "memory")]),
    "the ratio of memory": (
        [guest(1, NODE, 1, 300), guest(2, NODE, 1, 300)], host(ram_allocation_ratio=1.0),
        [(1, "memory"), (2, "memory")]),
    "memory that has become huge pages": (
        [guest(1, DEDICATED, 2, 300)],
        with_cell(pages=[{"size_kb": 4, "total": 32768}, {"size_kb": 2048, "total": 448}]),
        [(1, "memory")]),
    "fewer huge pages than are in use": (
        [guest(1, HUGE, 1, 32), guest(2, HUGE, 1, 16), guest(3, NODE, 1)],
        with_cell(pages=[{"size_kb": 4, "total": 131072}, {"size_kb": 2048, "total": 20}]),
        [(1, "memory"), (2, "memory")]),
    "pages of a size that is gone": (
        [guest(1, HUGE, 1, 32), guest(2, DEDICATED)], with_cell(pages=[]), [(1, "pages")]),
    "memory, of a guest in a cell against itself": (
        [guest(1, NODE, 1, 300)], with_cell(memory_mb=256, pages=[]), [(1, "memory")]),
    "guests that name their page size overcommit nothing": (
        [guest(n, NODE | {"hw:mem_page_size": "small"}, 1, 160) for n in (1, 2)],
        with_cell(memory_mb=256), [(1, "memory"), (2, "memory")]),
}  # fmt: skip


@pytest.mark.parametrize(("guests", "change", "broken"), REFUSED.values(), ids=REFUSED)
async def test_it_is_refused_where_a_guest_would_not_fit_it(
    guests: list[Instance], change: Host, broken: list[tuple[int, str]]
) -> None:
    store = await stored(host(), *guests)
    before = store._tables
    with pytest.raises(CannotStay) as refusal:
        await replace_host(store, change)
    assert store._tables == before
    reasons: list[Breach] = [*refusal.value.reasons]
    assert {(b.instance, b.rule) for b in reasons} == {(uuid(n), rule) for n, rule in broken}
    count = f"{len({n for n, _ in broken})} of {len(guests)} instances could not stay"
    assert str(refusal.value).startswith(f"host h1: {count} as they are: ")
    for breach in reasons:
        assert f"{breach.name} ({breach.instance})" in str(refusal.value)
        assert f"{breach.rule}: {breach.message}" in str(refusal.value)


@pytest.mark.parametrize(("guests", "change"), [r[:2] for r in REFUSED.values()], ids=REFUSED)
async def test_it_is_taken_once_they_are_gone(guests: list[Instance], change: Host) -> None:
    store = await stored(host(), *guests)
    for each in guests:
        await delete_instance(store, each.uuid)
    assert (await replace_host(store, change)).host == change


async def test_a_cell_that_is_too_full_takes_nothing_from_the_others() -> None:
    two = [
        {"id": 0, "memory_mb": 512, "cpus": "0-3"},
        {"id": 1, "memory_mb": 512, "cpus": "4-7"},
    ]
    form = {"cells": two, "cpu_shared_set": "0-2,4-6", "cpu_dedicated_set": ""}
    store = await stored(host(**form, cpu_allocation_ratio=1.0), guest(1, NODE, 3), guest(2, {}, 3))
    [used] = (await get_instance(store, uuid(1))).layout.cells
    fewer = "0-1,4-6" if used.host_cell == 0 else "0-2,4-5"
    with pytest.raises(CannotStay) as refusal:
        await replace_host(store, host(**{**form, "cpu_shared_set": fewer}))
    assert {breach.instance for breach in refusal.value.reasons} == {uuid(1)}


async def test_a_long_refusal_names_the_first_twenty() -> None:
    wide = host(cpu_allocation_ratio=100.0, ram_allocation_ratio=100.0)
    store = await stored(wide, *(guest(n, NODE, 1, 8) for n in range(1, 31)))
    with pytest.raises(CannotStay, match=r"30 of 30 .*; and 10 more\Z") as refusal:
        await replace_host(store, replace(wide, cpu_shared_set=CpuSet()))
    assert len(re.findall(r"\(0{8}-", str(refusal.value))) == 20
    assert len({breach.instance for breach in refusal.value.reasons}) == 30


# ---- a field that is forgotten ----

MEANT = {
    Host: {
        "name": "nothing", "cells": "refusals", "cpu_shared_set": "refusals",
        "cpu_dedicated_set": "refusals", "service_version": "refusals",
        "cpu_allocation_ratio": "refusals", "ram_allocation_ratio": "refusals",
        "packing": "nothing", "floating_vcpus": "use", "floating_memory_mb": "use",
    },
    HostCell: {
        "id": "refusals", "cpus": "refusals", "memory_mb": "refusals", "socket": "nothing",
        "siblings": "refusals", "l3": "nothing", "pages": "refusals",
        "pinned": "use", "shared_used": "use", "memory_used_mb": "use",
    },
    PagePool: {"size_kb": "refusals", "total": "refusals", "used": "use"},
}  # fmt: skip
"""What a change of each field means to guests that are there."""


@pytest.mark.parametrize("kind", MEANT, ids=lambda kind: kind.__name__)
def test_of_every_field_it_is_known_what_it_means_to_guests(kind: type[msgspec.Struct]) -> None:
    assert sorted(MEANT[kind]) == sorted(kind.__struct_fields__)


@pytest.mark.parametrize("kind", MEANT, ids=lambda kind: kind.__name__)
def test_every_field_that_may_be_refused_is(kind: type[msgspec.Struct]) -> None:
    refused = {name for name, meaning in MEANT[kind].items() if meaning == "refusals"}
    assert refused <= {name for _, change, _ in REFUSED.values() for name in _changed(kind, change)}


def _changed(kind: type[msgspec.Struct], change: Host) -> set[str]:
    def values(on: Host) -> dict[str, Any]:
        of = {Host: (on,), HostCell: on.cells, PagePool: [p for c in on.cells for p in c.pages]}
        return {name: [getattr(v, name) for v in of[kind]] for name in kind.__struct_fields__}

    old, new = values(host()), values(change)
    return {name for name in old if old[name] != new[name]}


# ---- what was found out anew ----


def found(
    cpus: str = "0-7", shared: str | None = None, dedicated: str | None = None
) -> tuple[Host, CpuSet | None, CpuSet | None]:
    sets = [None if text is None else CpuSet.parse(text) for text in (shared, dedicated)]
    cell = HostCell(id=0, cpus=CpuSet.parse(cpus), memory_mb=2048)
    return found_host("h1", [cell], *sets), sets[0], sets[1]


async def test_what_cannot_be_found_out_is_kept() -> None:
    registered = host(packing="pack", service_version=5)
    store = await stored(registered, guest(1, DEDICATED))
    replaced = await replace_found_host(store, *found())
    assert replaced.host.cells[0].memory_mb == 2048
    assert replaced.host.cells[0].pinned == CpuSet.parse("2-3")
    assert replace(replaced.host, cells=registered.cells) == registered
    assert await get_host(store, "h1") == (replaced.host, [await get_instance(store, uuid(1))])


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
    assert await replace_found_host(store, new, shared, dedicated) == Replaced(new)
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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
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
