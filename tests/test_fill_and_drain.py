"""Known machines are filled with guests of every kind until they are full, and emptied again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.errors import DoesNotFit
from mdsvc.forms import to_json
from mdsvc.layout import Layout, LayoutCell, fit
from mdsvc.placing import usage
from mdsvc.policy.flavor import Flavor, Request, request
from mdsvc.topology import Host, HostCell
from tests.machines.capabilities import capabilities
from tests.machines.facts import Machine
from tests.machines.known import MACHINES
from tests.reference.checker import check
from tests.reference.facts import cells_of
from tests.reference.pools import Pool, base_pool
from tests.strategies import plain

SEEDS = range(4)

REFUSALS = 40
"""So many in a row, and the host counts as full."""
MOST_GUESTS = 120

Guest = tuple[Flavor, Layout]


# ---- hosts ----


@cache
def machine(name: str) -> Host:
    """The machine; cells of which libvirt tells hardly any memory are given some."""
    host = host_from_capabilities(capabilities(MACHINES[name]), "h1").host
    cells = (replace(c, memory_mb=c.memory_mb if c.memory_mb > 64 else 2048) for c in host.cells)
    return replace(host, cells=tuple(cells))


def split(host: Host, random: Random) -> Host:
    """The host with some of its CPUs shared, most of them dedicated and a few left to itself."""
    share = random.choice([0.0, 0.125, 0.25, 0.5])
    by_thread = random.random() < 0.3
    shared = dedicated = EMPTY
    for cell in host.cells:
        for group in [CpuSet.of([cpu]) for cpu in cell.cpus] if by_thread else cell.cores:
            if random.random() < share:
                shared |= group
            elif random.random() < 0.95:
                dedicated |= group
    return replace(
        host,
        cpu_shared_set=shared,
        cpu_dedicated_set=dedicated,
        cpu_allocation_ratio=random.choice([1.0, 2.0, 4.5]),
        ram_allocation_ratio=random.choice([1.0, 1.0, 1.5]),
        packing=random.choice(["spread", "pack"]),
    )


# ---- guests ----


def flavor(random: Random, host: Host) -> Flavor:
    """Any policies and sizes, in any way that a flavor can ask for them."""
    policy = random.choice(["dedicated", "dedicated", "mixed", "mixed", "shared", "floating"])
    nodes = min(random.choice([1, 1, 1, 2, 2, 3, 4]), len(host.cells))
    sizes = [random.choice([1, 1, 2, 2, 3, 4, 6]) for _ in range(nodes)]
    if policy == "mixed":
        sizes[0] += 1
    if policy == "floating":
        sizes = sizes[:1]
    page_size = None if policy == "floating" else _page_size(random, host)
    memory = [_memory(random, host, page_size) for _ in sizes]
    specs: dict[str, Any] = {} if policy == "floating" else _nodes(sizes, memory)
    if page_size is not None:
        specs["hw:mem_page_size"] = page_size
    if policy in ("dedicated", "mixed"):
        specs |= _dedicated(random, policy, sum(sizes))
    elif random.random() < 0.3:
        specs["hw:emulator_threads_policy"] = "share"
    return Flavor(vcpus=sum(sizes), memory_mb=sum(memory), extra_specs=specs)


def _nodes(sizes: list[int], memory: list[int]) -> dict[str, Any]:
    specs: dict[str, Any] = {"hw:numa_nodes": len(sizes)}
    first = 0
    for node, (size, memory_mb) in enumerate(zip(sizes, memory, strict=True)):
        specs[f"hw:numa_cpus.{node}"] = f"{first}-{first + size - 1}"
        specs[f"hw:numa_mem.{node}"] = memory_mb
        first += size
    return specs


def _page_size(random: Random, host: Host) -> str | int | None:
    sizes = sorted({pool.size_kb for cell in host.cells for pool in cell.pages if pool.total})
    if not sizes or random.random() < 0.5:
        return None
    kinds: list[str | int] = ["small", "large", "any", *sizes]
    return random.choice(kinds)


def _memory(random: Random, host: Host, page_size: str | int | None) -> int:
    """A part of a cell's memory, or a few pages of the size."""
    whole = random.choice([cell.memory_mb for cell in host.cells if cell.cpus])
    unit = max(1, (page_size if isinstance(page_size, int) else 2048) // 1024)
    part = whole // random.choice([8, 16, 32, 64])
    return max(unit, min(part, 16 * unit if page_size == 1048576 else part) // unit * unit)


def _dedicated(random: Random, policy: str, vcpus: int) -> dict[str, Any]:
    emulator = random.choice([None, None, "share", "isolate"])
    specs: dict[str, Any] = {"hw:emulator_threads_policy": emulator} if emulator else {}
    threads = random.choice([None, "prefer", "isolate", "require", "require"])
    if threads:
        specs["hw:cpu_thread_policy"] = threads
    some = CpuSet.of(random.sample(range(vcpus), random.randint(1, max(1, vcpus - 1))))
    way = random.random()
    if policy == "dedicated":
        if way < 0.2 and vcpus > 1:
            specs |= {"hw:cpu_realtime": True, "hw:cpu_realtime_mask": str(some)}
        return specs | {"hw:cpu_policy": "dedicated"}
    if way < 0.2:
        extra = emulator == "isolate"
        if len(some) + extra > 1:
            counts = {"resources:PCPU": len(some) + extra, "resources:VCPU": vcpus - len(some)}
            return specs | counts
    specs["hw:cpu_policy"] = "mixed"
    if way < 0.4:
        return specs | {"hw:cpu_realtime": True, "hw:cpu_realtime_mask": str(some)}
    return specs | {"hw:cpu_dedicated_mask": str(some)}


# ---- what must hold at any time ----


def new_faults(host: Host, wanted: Request, layout: Layout) -> list[str]:
    """What the reference finds wrong in a new guest's layout on the host as it was before."""
    return check(json.loads(to_json(host)), plain(wanted), json.loads(to_json(layout)))


def faults(host: Host, guests: list[Guest]) -> Iterator[str]:
    """What is wrong in the host with these guests; none of them is asked what it uses."""
    for cell in host.cells:
        placed = [
            (layout, used)
            for _, layout in guests
            for used in layout.cells
            if used.host_cell == cell.id
        ]
        taken = Counter(
            cpu
            for layout, used in placed
            for cpu in _kept(cell, layout.cpu_thread_policy, used.cpu_pinning, used.cpuset_reserved)
        )
        yield from (f"pCPU {cpu} is given twice" for cpu, times in taken.items() if times > 1)
        if CpuSet.of(taken) != cell.pinned or not cell.pinned <= host.cpu_dedicated_set:
            yield f"cell {cell.id}: pinned {cell.pinned}, not {CpuSet.of(taken)}"
        memory = sum(used.memory_mb for _, used in placed)
        shared = sum(len(used.cpuset) for _, used in placed)
        if (cell.memory_used_mb, cell.shared_used) != (memory, shared):
            yield f"cell {cell.id}: memory {cell.memory_used_mb}, shared vCPUs {cell.shared_used}"
        if shared > _shared_most(host, cell):
            yield f"cell {cell.id}: {shared} shared vCPUs are too many"
        yield from _memory_faults(host, cell, [used for _, used in placed])
    yield from _floating_faults(host, [f for f, layout in guests if not layout.cells])


def _memory_faults(host: Host, cell: HostCell, placed: list[LayoutCell]) -> Iterator[str]:
    """Each pool has in use what is in it, and no more than it may."""
    base, base_mb = _base(cell), _on_base(cell, placed)
    if base_mb * 1024 > base.capacity_kb * host.ram_allocation_ratio:
        yield f"cell {cell.id}: {base_mb} MiB are too much for {base}"
    if base.used_kb != base_mb * 1024:
        yield f"cell {cell.id}: {base}, not {base_mb} MiB in use"
    for pool in cell.pages:
        kb = sum(used.memory_mb for used in placed if used.pagesize_kb == pool.size_kb) * 1024
        if pool.used * pool.size_kb != kb or pool.used > pool.total:
            yield f"cell {cell.id}: {pool}, not {kb} KiB in use"


def _kept(
    cell: HostCell, threads: str | None, pinning: dict[int, int], reserved: CpuSet
) -> list[int]:
    """The pCPUs that a guest keeps from others: with `isolate` the other threads of each core."""
    mine = [*pinning.values(), *reserved]
    if threads != "isolate":
        return mine
    return [cpu for core in cell.cores for cpu in core if any(own in core for own in mine)]


def cores_not_isolated(machine: Machine, guests: list[Guest]) -> Iterator[str]:
    """Guests with `isolate` whose cores, as the machine has them, another guest runs on too."""
    taken = [union(used.pcpus for used in layout.cells) for _, layout in guests]
    for at, (_, layout) in enumerate(guests):
        if layout.cpu_thread_policy == "isolate":
            cores = [c.siblings for c in machine.running() if c.number in taken[at]]
            others = union(taken[:at] + taken[at + 1 :])
            yield from (f"core {core} is shared" for core in cores if core & others)


def _floating_faults(host: Host, floating: list[Flavor]) -> Iterator[str]:
    """Guests without a NUMA topology have together what the cells have left."""
    vcpus, memory = sum(f.vcpus for f in floating), sum(f.memory_mb for f in floating)
    if (host.floating_vcpus, host.floating_memory_mb) != (vcpus, memory):
        yield f"floating: {host.floating_vcpus} vCPUs and {host.floating_memory_mb} MiB"
    if vcpus > sum(_shared_most(host, cell) - cell.shared_used for cell in host.cells):
        yield f"floating: {vcpus} vCPUs are too many"
    bases = [_base(cell) for cell in host.cells]
    ratio = host.ram_allocation_ratio
    if memory * 1024 > sum(base.capacity_kb * ratio - base.used_kb for base in bases):
        yield f"floating: {memory} MiB are too much"


def _shared_most(host: Host, cell: HostCell) -> float:
    return len(cell.cpus & host.cpu_shared_set) * host.cpu_allocation_ratio


def _base(cell: HostCell) -> Pool:
    """The base pool, as the reference sees it."""
    form = {"cells": [json.loads(to_json(cell))], "cpu_dedicated_set": "", "cpu_shared_set": ""}
    return base_pool(cells_of(form)[0])


def _on_base(cell: HostCell, placed: list[LayoutCell]) -> int:
    """The memory of the guest cells, in MiB, that is not in huge pages."""
    return sum(u.memory_mb for u in placed if u.pagesize_kb in (None, _base(cell).size_kb))


# ---- filling and draining ----


def filled(random: Random, host: Host) -> tuple[Host, list[Guest]]:
    """The host with guests that came until some in a row were refused."""
    guests: list[Guest] = []
    refused = 0
    while refused < REFUSALS and len(guests) < MOST_GUESTS:
        asked = flavor(random, host)
        wanted = request(asked)
        try:
            layout = fit(host, wanted)
        except DoesNotFit:
            refused += 1
            continue
        refused = 0
        assert new_faults(host, wanted, layout) == [], asked
        guests.append((asked, layout))
        host = usage.place(host, layout, asked)
        assert [*faults(host, guests)] == [], asked
    return host, guests


def drained(random: Random, host: Host, guests: list[Guest]) -> Host:
    """The host after all its guests have left, one by one, in any order."""
    random.shuffle(guests)
    while guests:
        asked, layout = guests.pop()
        host = usage.remove(host, layout, asked)
        assert [*faults(host, guests)] == [], asked
    return host


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_sound_while_it_is_filled_and_drained(name: str, seed: int) -> None:
    random = Random(f"{name} {seed}")
    empty = split(machine(name), random)
    full, guests = filled(random, empty)
    assert guests
    assert full != empty
    assert [*cores_not_isolated(MACHINES[name], guests)] == []
    assert drained(random, full, guests) == empty
