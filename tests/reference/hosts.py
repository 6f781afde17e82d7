"""Random small hosts in the contract's JSON form, odd in every way that the contract allows."""

from random import Random

from .facts import Json, cells_of, format_cpus
from .pools import base_pool, huge_pools

Core = list[int]

CPUS_A_CELL = 8
POOLS: list[tuple[int, ...]] = [
    (),
    (4,),
    (4, 2048),
    (4, 2048, 1048576),
    (64, 2048, 16384),
    (4, 64, 2048),
    (16, 32768),
    (2048,),
    (2048, 1048576),
]
"""Without one of at most 64 KiB, and with two of them, too."""


def random_host(rng: Random, cell_count: int) -> Json:
    """A host of so many cells."""
    cells = _cores(rng, cell_count)
    dedicated, shared = _sets(rng, [core for cell in cells for core in cell])
    gaps = rng.random() < 0.2
    ids = sorted(rng.sample(range(10), cell_count)) if gaps else list(range(cell_count))
    host: Json = {
        "name": "h1",
        "service_version": 1 if rng.random() < 0.03 else rng.choice([2, 2, 3]),
        "cpu_shared_set": format_cpus(shared),
        "cpu_dedicated_set": format_cpus(dedicated),
        "cpu_allocation_ratio": rng.choice([1.0, 1.0, 1.5, 2.0, 4.0, 16.0]),
        "ram_allocation_ratio": rng.choice([1.0, 1.0, 1.0, 1.5, 2.0, 0.75]),
        "cells": _cells(rng, ids, cells),
    }
    if cell_count > 1 and rng.random() < 0.15:
        cells = _split(rng, host, cells)
    if rng.random() < 0.5:
        _share_caches(rng, host, cells)
    if rng.random() < 0.6:
        host["packing"] = rng.choice(["spread", "pack"])
    _use(rng, host, cells, dedicated, shared)
    return host


def _cores(rng: Random, cell_count: int) -> list[list[Core]]:
    """For each cell its cores: of 1, 2, 4 or 8 threads, or of mixed sizes; rarely a cell of none.

    The CPUs' numbers run through each core, or through the cores (`0,8`), or are shuffled.
    """
    threads = rng.choice([1, 2, 2, 2, 4, 4, 8, None])
    sizes = []
    for _ in range(cell_count):
        room = 0 if cell_count > 1 and rng.random() < 0.04 else rng.randint(2, CPUS_A_CELL)
        sizes.append(_core_sizes(rng, threads, room))
    slots = [
        (c, k, t) for c, cell in enumerate(sizes) for k, n in enumerate(cell) for t in range(n)
    ]
    numbering = rng.choice(["dense", "interleaved", "shuffled"])
    if numbering == "interleaved":
        slots.sort(key=lambda slot: (slot[2], slot[0], slot[1]))
    if numbering == "shuffled":
        rng.shuffle(slots)
    numbers = {slot: cpu for cpu, slot in enumerate(slots)}
    return [
        [sorted(numbers[c, k, t] for t in range(n)) for k, n in enumerate(cell)]
        for c, cell in enumerate(sizes)
    ]


def _core_sizes(rng: Random, threads: int | None, room: int) -> list[int]:
    """Cores until the room is used up; the last may be cut short, as with threads taken offline."""
    sizes: list[int] = []
    while room:
        sizes.append(min(room, threads or rng.choice([1, 2, 2, 4])))
        room -= sizes[-1]
    return sizes


def _sets(rng: Random, cores: list[Core]) -> tuple[set[int], set[int]]:
    """`cpu_dedicated_set`, by whole cores or by single threads; `cpu_shared_set` of the rest."""
    cpus = {cpu for core in cores for cpu in core}
    share = rng.choice([0.1, 0.5, 0.5, 0.7, 0.7, 1.0])
    if rng.random() < 0.6:
        dedicated = {cpu for core in cores if rng.random() < share for cpu in core}
    else:
        dedicated = {cpu for cpu in sorted(cpus) if rng.random() < share}
    used = rng.choice([1.0, 1.0, 1.0, 1.0, 0.6])
    return dedicated, {cpu for cpu in sorted(cpus - dedicated) if rng.random() < used}


def _cells(rng: Random, ids: list[int], cells: list[list[Core]]) -> list[Json]:
    """Cells with the same page sizes, mostly, and memory of their own."""
    pools = rng.choice(POOLS)
    return [
        _cell(rng, number, cores, pools if rng.random() < 0.85 else rng.choice(POOLS))
        for number, cores in zip(ids, cells, strict=True)
    ]


def _cell(rng: Random, number: int, cores: list[Core], pools: tuple[int, ...]) -> Json:
    """A cell in no use yet; `siblings` are left out at times where each CPU is alone."""
    memory_mb = rng.choice([1024, 2048, 4096, 8192])
    cell: Json = {
        "id": number,
        "memory_mb": memory_mb,
        "cpus": format_cpus(cpu for core in cores for cpu in core),
    }
    if rng.random() < 0.5:
        cell["socket"] = number // 2
    if any(len(core) > 1 for core in cores) or rng.random() < 0.5:
        cell["siblings"] = [format_cpus(core) for core in cores]
    if pools or rng.random() < 0.5:
        cell["pages"] = _pages(rng, pools, memory_mb)
        cell["memory_mb"] = _told(rng, memory_mb, cell["pages"])
    return cell


def _told(rng: Random, memory_mb: int, pages: list[Json]) -> int:
    """Mostly all memory; or some of it, without the huge pages, which alone may be more; or more
    than the pages come to.
    """
    way = rng.random()
    if way < 0.1 and len(pages) > 1:
        return int(pages[0]["size_kb"] * pages[0]["total"] // 1024)
    return max(1, int(memory_mb * (rng.choice([0.1, 0.5, 0.7, 1.5]) if way < 0.3 else 1)))


def _split(rng: Random, host: Json, cells: list[list[Core]]) -> list[list[Core]]:
    """Some CPUs, or all, share their core with a CPU of another cell; then they are no siblings
    here, nor left-over threads. The cores that remain.
    """
    share = rng.choice([0.3, 0.6, 1.0])
    remaining = []
    for cell, cores in zip(host["cells"], cells, strict=True):
        cut = [core for core in cores if rng.random() < share]
        split = [cpu for core in cut for cpu in core]
        whole = [core for core in cores if core not in cut]
        remaining.append(whole + [[cpu] for cpu in split])
        if split or rng.random() < 0.2:
            cell["split"] = format_cpus(split)
        if "siblings" in cell:
            named = remaining[-1] if rng.random() < 0.5 else whole
            cell["siblings"] = [format_cpus(core) for core in named]
    return remaining


def _share_caches(rng: Random, host: Json, cells: list[list[Core]]) -> None:
    """L3 domains, mostly in all cells, of any of their cores; rarely with some cores in none."""
    count = rng.choice([1, 2, 2, 3, 4, 8])
    for cell, cores in zip(host["cells"], cells, strict=True):
        domains: dict[int, Core] = {}
        for core in cores if rng.random() < 0.95 else cores[:-1]:
            domains.setdefault(rng.randrange(count), []).extend(core)
        if rng.random() < 0.95:
            cell["l3"] = [format_cpus(cpus) for cpus in domains.values()]


def _pages(rng: Random, sizes: tuple[int, ...], memory_mb: int) -> list[Json]:
    """Pools that divide the cell's memory, each empty, half used or nearly full."""
    pools = []
    for size_kb in sizes:
        total = max(1, memory_mb * 1024 // len(sizes) // size_kb)
        used = rng.choice([0, 0, total // 2, max(0, total - rng.randint(0, 3))])
        pools.append({"size_kb": size_kb, "total": total, "used": used})
    if len(pools) == 3 and memory_mb < 3072:
        del pools[2]
    return pools


def _use(
    rng: Random, host: Json, cells: list[list[Core]], dedicated: set[int], shared: set[int]
) -> None:
    """Other guests on the host: pins, shared vCPUs and memory, none, some or nearly all."""
    busy = rng.choice([0.0, 0.0, 0.2, 0.5])
    for cell, cores in zip(host["cells"], cells, strict=True):
        cpus = [cpu for core in cores for cpu in core]
        pinned = [cpu for cpu in cpus if cpu in dedicated and rng.random() < busy]
        if pinned or rng.random() < 0.2:
            cell["pinned"] = format_cpus(pinned)
        room = int(len(shared & set(cpus)) * host["cpu_allocation_ratio"])
        if rng.random() < 0.5:
            cell["shared_used"] = rng.choice([0, room // 2, max(0, room - rng.randint(1, 3))])
        if rng.random() < 0.5:
            cell["memory_used_mb"] = _memory_used(rng, host, cell)
    if rng.random() < 0.2:
        _float(rng, host)


def _memory_used(rng: Random, host: Json, cell: Json) -> int:
    """The pages in use, mostly, and some of the base pool beside them."""
    [described] = cells_of(host | {"cells": [cell]})
    base, huge = base_pool(described), huge_pools(described)
    ratio = host["ram_allocation_ratio"] if rng.random() < 0.2 else 1
    paged_kb = sum(pool.used_kb for pool in huge) if rng.random() < 0.8 else 0
    return int(paged_kb + base.capacity_kb * ratio * rng.choice([0, 0.25, 0.5, 0.9])) // 1024


def _float(rng: Random, host: Json) -> None:
    """Guests without a NUMA topology, which leave others some of the host, hardly any or less."""
    cells = cells_of(host)
    memory_mb = sum(base_pool(cell).capacity_kb - base_pool(cell).used_kb for cell in cells) // 1024
    vcpus = int(sum(len(cell.shared) for cell in cells) * host["cpu_allocation_ratio"])
    if rng.random() < 0.9:
        host["floating_memory_mb"] = max(0, int(memory_mb * rng.choice([0.1, 0.5, 0.9, 1.1])))
    host["floating_vcpus"] = int(vcpus * rng.choice([0, 0, 0.1, 0.5]))
