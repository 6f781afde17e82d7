"""Each rule under which a guest cannot stay, and what a refusal says (R26)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mdsvc.control.hosts import replace_host
from mdsvc.control.instances import delete_instance, get_instance
from mdsvc.cpuset import CpuSet
from mdsvc.errors import CannotStay, Reason
from mdsvc.instance import Instance
from mdsvc.topology import Host, HostCell, PagePool
from tests.books.values import (
    DEDICATED,
    FORM,
    HUGE,
    MIXED,
    NODE,
    guest,
    host,
    stored,
    uuid,
    with_cell,
)

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
    "isolate, whose core turns out to reach into another cell": (
        [guest(1, ISOLATE, 1), guest(2, DEDICATED, 2)],
        with_cell(siblings=["4-5", "6-7"], split="0-3"), [(1, "thread_policy")]),
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
    reasons: list[Reason] = [*refusal.value.reasons]
    assert {(b.instance, b.rule) for b in reasons} == {(uuid(n), rule) for n, rule in broken}
    count = f"{len({n for n, _ in broken})} of {len(guests)} instances could not stay"
    assert str(refusal.value).startswith(f"host h1: {count} as they are: ")
    for breach in reasons:
        assert f"({breach.instance})" in str(refusal.value)
        assert f"{breach.rule}: {breach.message}" in str(refusal.value)


@pytest.mark.parametrize(("guests", "change"), [r[:2] for r in REFUSED.values()], ids=REFUSED)
async def test_it_is_taken_once_they_are_gone(guests: list[Instance], change: Host) -> None:
    store = await stored(host(), *guests)
    for each in guests:
        await delete_instance(store, each.uuid)
    assert (await replace_host(store, change)).host == change


def two_cells(shared: str = "0-2,4-6", memory_mb: tuple[int, int] = (512, 512)) -> Host:
    cells = [
        {"id": at, "memory_mb": mb, "cpus": cpus}
        for at, (mb, cpus) in enumerate(zip(memory_mb, ("0-3", "4-7"), strict=True))
    ]
    ratios = {"cpu_allocation_ratio": 1.0, "ram_allocation_ratio": 1.0}
    return host(cells=cells, cpu_shared_set=shared, cpu_dedicated_set="", **ratios)


@pytest.mark.parametrize(
    "changes",
    [
        [two_cells("0-1,4-6"), two_cells("0-2,4-5")],
        [two_cells(memory_mb=(200, 512)), two_cells(memory_mb=(512, 200))],
    ],
    ids=["shared CPUs", "memory"],
)
async def test_a_cell_that_is_too_full_takes_nothing_from_the_others(changes: list[Host]) -> None:
    """Guest 2 floats, and has in the other cell all that it needs."""
    store = await stored(two_cells(), guest(1, NODE, 3, 300), guest(2, {}, 3, 500))
    [used] = (await get_instance(store, uuid(1))).layout.cells
    with pytest.raises(CannotStay) as refusal:
        await replace_host(store, changes[used.host_cell])
    assert {reason.instance for reason in refusal.value.reasons} == {uuid(1)}


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
        "name": "nothing", "arch": "nodes, see below",
        "cells": "refusals", "cpu_shared_set": "refusals",
        "cpu_dedicated_set": "refusals", "service_version": "refusals",
        "cpu_allocation_ratio": "refusals", "ram_allocation_ratio": "refusals",
        "packing": "nothing", "draining": "nothing",
        "floating_vcpus": "use", "floating_memory_mb": "use",
    },
    HostCell: {
        "id": "refusals", "cpus": "refusals", "memory_mb": "refusals", "socket": "nothing",
        "siblings": "refusals", "split": "refusals", "l3": "nothing", "pages": "refusals",
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


async def test_several_nodes_do_not_become_those_of_s390x() -> None:
    two = host(cells=[{**FORM["cells"][0], "cpus": "0-3", "siblings": []},
                      {**FORM["cells"][0], "cpus": "4-7", "siblings": [], "id": 1}],
               cpu_shared_set="0,4", cpu_dedicated_set="1-3,5-7")  # fmt: skip
    guests = [guest(1, DEDICATED | {"hw:numa_nodes": "2"}, 2), guest(2, DEDICATED)]
    store = await stored(two, *guests)
    with pytest.raises(CannotStay) as refused:
        await replace_host(store, replace(two, arch="s390x"))
    assert [(each.instance, each.rule) for each in refused.value.reasons] == [
        (uuid(1), "guest_numa")
    ]
    await delete_instance(store, uuid(1))
    assert (await replace_host(store, replace(two, arch="s390x"))).host.arch == "s390x"
