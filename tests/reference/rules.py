"""The rules of placement, each said once; every function answers with what is wrong, or nothing.

`pins` are the pCPUs that one guest cell's dedicated vCPUs take in one host cell, and `emulator` the
pCPU reserved there for isolated emulator threads, if any.
"""

from .facts import Cell, Json

Set = frozenset[int]


def needs_dedicated(request: Json) -> bool:
    """Does the guest, in any of its cells, have dedicated vCPUs?"""
    return request["policy"] in ("dedicated", "mixed")


def isolates_emulator(request: Json) -> bool:
    """R11: `isolate` takes one more dedicated pCPU, in one of the chosen host cells."""
    return bool(request["emulator_threads_policy"] == "isolate")


def host_faults(host: Json, request: Json) -> list[str]:
    """R17: a host of service version 1 does not know mixed guests."""
    if request["policy"] == "mixed" and host["service_version"] < 2:
        return ["the host's service version does not know mixed guests"]
    return []


def pin_faults(cell: Cell, pins: Set, thread_policy: str | None) -> list[str]:
    """R14: pins lie in the cell's part of `cpu_dedicated_set` and are not pinned already."""
    faults = [f"pCPU {p} is not a dedicated CPU of the cell" for p in sorted(pins - cell.dedicated)]
    busy = pins & cell.dedicated - cell.free
    faults += [f"pCPU {p} is pinned already" for p in sorted(busy)]
    if thread_policy == "require":
        faults += _require_faults(cell, pins)
    if thread_policy == "isolate":
        faults += _isolate_faults(cell, pins)
    return faults


def _require_faults(cell: Cell, pins: Set) -> list[str]:
    """`require`: each core gives two threads or more, save at most one that gives a single thread.

    That one core must have had a second thread free.
    """
    lone = [core for core in cell.cores if len(core & pins) == 1]
    faults = [
        f"require: core {sorted(core)} has no second thread free"
        for core in lone
        if len(core & cell.free) < 2
    ]
    if len(lone) > 1:
        faults.append(f"require: {len(lone)} cores give a single thread")
    return faults


def _isolate_faults(cell: Cell, taken: Set) -> list[str]:
    """`isolate`: each taken pCPU has a core of its own, every thread of it dedicated and free, and
    none of it in another cell.
    """
    faults = [
        f"isolate: the core of pCPU {p} reaches into another cell"
        for p in sorted(taken & cell.split)
    ]
    for core in cell.cores:
        if len(core & taken) > 1:
            faults.append(f"isolate: core {sorted(core)} gives several threads")
        if core & taken and core - cell.free:
            faults.append(f"isolate: core {sorted(core)} is not wholly free")
    return faults


def emulator_faults(cell: Cell, pins: Set, emulator: int, thread_policy: str | None) -> list[str]:
    """R11: one further free dedicated pCPU; under `isolate` a wholly free core of its own too.

    `require` speaks of vCPUs only: the emulator threads may take any free thread.
    """
    faults = []
    if emulator not in cell.free:
        faults.append(f"the reserved pCPU {emulator} is not a free dedicated CPU of the cell")
    if emulator in pins:
        faults.append(f"the reserved pCPU {emulator} is pinned to a vCPU too")
    if thread_policy == "isolate":
        faults += _isolate_faults(cell, pins | {emulator})
    return faults


def shared_faults(host: Json, cell: Cell, shared: int) -> list[str]:
    """R15: never more shared vCPUs than shared CPUs, nor with the use beyond the ratio."""
    if not shared:
        return []
    faults = []
    if shared > len(cell.shared):
        faults.append(f"{shared} shared vCPUs on {len(cell.shared)} shared CPUs")
    if cell.shared_used + shared > _shared_capacity(host, cell):
        faults.append(f"{shared} shared vCPUs exceed the CPU allocation ratio")
    return faults


def memory_faults(host: Json, cell: Cell, memory_mb: int, dedicated: bool) -> list[str]:
    """R15: with dedicated vCPUs free memory; else the ratio, and never more than the cell has."""
    capacity = cell.memory_mb if dedicated else _memory_capacity(host, cell)
    faults = []
    if cell.memory_used_mb + memory_mb > capacity:
        faults.append(f"{memory_mb} MiB do not fit beside the memory in use")
    if memory_mb > cell.memory_mb:
        faults.append(f"{memory_mb} MiB are more than the cell has")
    return faults


def page_sizes(cell: Cell, page_size: str | int, memory_mb: int) -> list[int]:
    """R9: the page sizes that hold this memory here, in one pool each, largest first."""
    fitting = [
        pool.size_kb
        for pool in cell.pages
        if memory_mb * 1024 % pool.size_kb == 0
        and (pool.total - pool.used) * pool.size_kb >= memory_mb * 1024
    ]
    return sorted((kb for kb in fitting if _asked_for(cell, page_size, kb)), reverse=True)


def _asked_for(cell: Cell, page_size: str | int, size_kb: int) -> bool:
    """`small`: only the smallest; `large`: any but it; `any`: each; a number: just that size."""
    smallest = min(pool.size_kb for pool in cell.pages)
    meanings = {"small": size_kb == smallest, "large": size_kb > smallest, "any": True}
    return meanings.get(str(page_size), size_kb == page_size)


def plain_guest_faults(host: Json, cells: list[Cell], request: Json) -> list[str]:
    """A shared guest without NUMA topology floats over the host: the cells' room is summed."""
    vcpus, memory_mb = request["vcpus"], request["memory_mb"]
    cpu_room = sum(max(0.0, _shared_capacity(host, c) - c.shared_used) for c in cells)
    memory_room = sum(max(0.0, _memory_capacity(host, c) - c.memory_used_mb) for c in cells)
    checks = {
        "more vCPUs than the host has shared CPUs": vcpus > sum(len(c.shared) for c in cells),
        "more vCPUs than the CPU allocation ratio leaves": vcpus > cpu_room,
        "more memory than the host has": memory_mb > sum(c.memory_mb for c in cells),
        "more memory than the RAM allocation ratio leaves": memory_mb > memory_room,
    }
    return [fault for fault, broken in checks.items() if broken]


def _shared_capacity(host: Json, cell: Cell) -> float:
    return len(cell.shared) * float(host.get("cpu_allocation_ratio", 16.0))


def _memory_capacity(host: Json, cell: Cell) -> float:
    return cell.memory_mb * float(host.get("ram_allocation_ratio", 1.0))


def further_domains(cell: Cell, pins: Set, taken: Set) -> int:
    """L3 domains that are touched, beside the one that vCPUs cannot do without; 0 where none are
    known. `taken` is `pins` with the emulator's pCPU.
    """
    touched = sum(bool(domain & taken) for domain in cell.l3)
    return touched - bool(pins) if cell.l3 else 0


def broken_cores(cell: Cell, taken: Set) -> int:
    """Cores of two threads or more, wholly dedicated and free before, of which a part is taken.

    `isolate` takes one thread of each core, and so breaks every such core that it uses.
    """
    whole = [core for core in cell.cores if len(core) > 1 and core <= cell.free]
    return sum(bool(core & taken) and not core <= taken for core in whole)
