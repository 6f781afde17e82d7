"""The rules of placement, each said once; every function answers with what is wrong, or nothing.

`pins` are the pCPUs that one guest cell's dedicated vCPUs take in one host cell, and `emulator` the
pCPU reserved there for isolated emulator threads, if any.
"""

from . import pools
from .facts import Cell, Json, parse_cpus
from .pools import Pool, base_pool, floating_left_kb, pools_for

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


def memory_faults(host: Json, cell: Cell, request: Json, memory_mb: int) -> list[str]:
    """R9, R15: some pool that the guest may have holds it; the base pool by the ratio, where the
    guest overcommits, and never more than the whole pool.
    """
    if pools_for(host, cell, request, memory_mb):
        return []
    usable = [pool.size_kb for pool in pools.usable(cell, request["page_size"])]
    return [f"{memory_mb} MiB do not fit beside the memory in use of the pools {usable}"]


def beside_floating_faults(
    host: Json, cells: list[Cell], request: Json, taken: list[Pool]
) -> list[str]:
    """Guests without NUMA topology keep what they have, whichever cells the others take."""
    faults = []
    shared = sum(len(wanted["shared"]) for wanted in request["cells"])
    if host.get("floating_vcpus") and shared > _floating_vcpus_left(host, cells):
        faults.append(f"{shared} shared vCPUs do not fit beside the guests that float")
    wanted_mb = [wanted["memory_mb"] for wanted in request["cells"]]
    base_mb = sum(mb for mb, pool in zip(wanted_mb, taken, strict=True) if pool.is_base)
    floats = host.get("floating_memory_mb")
    if floats and base_mb and base_mb * 1024 > floating_left_kb(host, cells, request):
        faults.append(f"{base_mb} MiB do not fit beside the guests that float")
    return faults


def _floating_vcpus_left(host: Json, cells: list[Cell]) -> float:
    room = sum(max(0.0, _shared_capacity(host, c) - c.shared_used) for c in cells)
    return room - int(host.get("floating_vcpus", 0))


def plain_guest_faults(host: Json, cells: list[Cell], request: Json) -> list[str]:
    """A shared guest without NUMA topology floats over the host: its cells' room is summed, memory
    that of the base pools.
    """
    vcpus, memory_kb = request["vcpus"], request["memory_mb"] * 1024
    most_kb = sum(base_pool(cell).capacity_kb for cell in cells)
    checks = {
        "more vCPUs than the host has shared CPUs": vcpus > sum(len(c.shared) for c in cells),
        "more vCPUs than the CPU allocation ratio leaves": vcpus
        > _floating_vcpus_left(host, cells),
        "more memory than the host has": memory_kb > most_kb,
        "more memory than the RAM allocation ratio leaves": memory_kb
        > floating_left_kb(host, cells, request),
    }
    return [fault for fault, broken in checks.items() if broken]


def shared_left(host: Json, cell: Cell) -> int:
    """How many shared vCPUs the ratio still lets come."""
    return max(0, int(_shared_capacity(host, cell)) - cell.shared_used)


def shared_left_beside_floating(host: Json, cell: Cell) -> int:
    """The same without the cell's part of those that float, which is by its shared CPUs."""
    floating = int(host.get("floating_vcpus", 0))
    everywhere = len(parse_cpus(host["cpu_shared_set"]))
    part = floating * len(cell.shared) // everywhere if everywhere else 0
    return max(0, shared_left(host, cell) - part)


def _shared_capacity(host: Json, cell: Cell) -> float:
    return len(cell.shared) * float(host.get("cpu_allocation_ratio", 16.0))


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
