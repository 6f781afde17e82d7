"""A running guest as the books have guests: its layout as it runs, and a flavor that asks for it.

Nothing is fitted: every pCPU is where the machine has it. What the books cannot say, or what breaks
a rule of theirs by itself, is a fault in words; what it breaks together with others is for
``standing`` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import InvalidRequest
from mdsvc.layout import Layout, LayoutCell
from mdsvc.policy.flavor import EmulatorPolicy, Flavor, Image, Policy, Request, request
from mdsvc.running import RunningCell, RunningGuest, anywhere
from mdsvc.topology import Host


class AsItRuns(msgspec.Struct, frozen=True):
    """What the books would say of the guest; and why they cannot, where there are faults."""

    flavor: Flavor
    image: Image
    layout: Layout
    faults: tuple[str, ...]


def as_it_runs(host: Host, guest: RunningGuest) -> AsItRuns:
    """The guest as it runs on the host."""
    pinned = guest.pinned(host.cpu_shared_set, host.cpu_dedicated_set)
    cells, homeless = _cells(host, guest, pinned)
    layout = _layout(host, guest, pinned, cells)
    flavor, image, disagreement = _flavor(guest, layout)
    faults = (*homeless, *_faults(host, guest, layout, pinned), *disagreement)
    return AsItRuns(flavor, image, layout, faults)


def places(layout: Layout) -> object:
    """What of a layout a machine can tell: two that are equal in it run alike."""
    cells = [
        (cell.host_cell, cell.cpuset, cell.pcpuset, cell.cpu_pinning, cell.cpuset_reserved)
        for cell in layout.cells
    ]
    memory = [cell.memory_mb for cell in layout.cells]
    return cells, memory, layout.emulator_cpus, layout.realtime_cpus


# ---- where each part is ----


def _cells(
    host: Host, guest: RunningGuest, pinned: Mapping[int, int]
) -> tuple[tuple[LayoutCell, ...], list[str]]:
    """Its cells on theirs of the host, and those that have none. A guest that has no node of its
    own, nothing dedicated and no bound memory floats.
    """
    if not guest.cells and not pinned and guest.pagesize_kb is None and not guest.strict_nodes:
        return (), []
    cells: list[LayoutCell] = []
    faults: list[str] = []
    for at, node in enumerate(guest.nodes):
        home = _home(host, guest, node)
        if home is None:
            faults.append(f"its node {node.id} is not on one host cell alone")
        elif home in [cell.host_cell for cell in cells]:
            faults.append(f"its node {node.id} is on host cell {home}, as another of its nodes is")
        else:
            cells.append(_cell(host, home, at, node, pinned))
    return tuple(cells), faults


def _home(host: Host, guest: RunningGuest, node: RunningCell) -> int | None:
    """The one host cell that its memory is bound to; else the one that all its vCPUs are on."""
    if node.strict_nodes is not None:
        bound = [cell.id for cell in host.cells if cell.id in node.strict_nodes]
        return bound[0] if len(bound) == len(node.strict_nodes) == 1 else None
    if len(host.cells) == 1:
        return host.cells[0].id
    pcpus = anywhere([guest.pcpus(vcpu) for vcpu in node.vcpus - guest.unplugged])
    near = [cell.id for cell in host.cells if pcpus is not None and pcpus <= cell.cpus]
    return near[0] if len(near) == 1 else None


def _cell(
    host: Host, home: int, at: int, node: RunningCell, pinned: Mapping[int, int]
) -> LayoutCell:
    pinning = {vcpu: pinned[vcpu] for vcpu in node.vcpus if vcpu in pinned}
    dedicated = CpuSet.of(pinning)
    huge = [pool.size_kb for pool in host.by_id[home].pools if not pool.is_base]
    size = node.pagesize_kb or (huge[0] if node.pagesize_kb == 0 and huge else None)
    return LayoutCell(
        id=at,
        host_cell=home,
        cpuset=node.vcpus - dedicated,
        pcpuset=dedicated,
        cpu_pinning=pinning,
        memory_mb=node.memory_mb,
        pagesize_kb=size,
    )


# ---- the layout ----


def _layout(
    host: Host, guest: RunningGuest, pinned: Mapping[int, int], cells: tuple[LayoutCell, ...]
) -> Layout:
    own = CpuSet.of(pinned.values())
    threads = guest.floats if guest.emulator is None else guest.emulator
    reserved = _reserved(host, guest, threads, own)
    emulator = _emulator_policy(host, guest, cells, threads or EMPTY, bool(reserved))
    dedicated = CpuSet.of(pinned)
    return Layout(
        dedicated_cpus=dedicated if cells else EMPTY,
        shared_cpus=guest.all_vcpus - dedicated if cells else EMPTY,
        realtime_cpus=guest.realtime,
        cpu_policy=_policy(guest, dedicated),
        cpu_thread_policy=guest.asked.cpu_thread_policy if guest.asked else None,
        emulator_threads_policy=emulator,
        emulator_cpus=(threads or EMPTY) if cells else EMPTY,
        cells=tuple(
            replace(cell, cpuset_reserved=reserved & host.by_id[cell.host_cell].cpus)
            for cell in cells
        ),
    )


def _policy(guest: RunningGuest, dedicated: CpuSet) -> Policy:
    if not dedicated:
        return "shared"
    return "dedicated" if dedicated == guest.all_vcpus else "mixed"


def _reserved(host: Host, guest: RunningGuest, threads: CpuSet | None, own: CpuSet) -> CpuSet:
    """The pCPU of isolated emulator threads: one, dedicated, and no vCPU's (R11)."""
    alone = threads is not None and len(threads) == 1 and not threads & own
    isolated = alone and threads is not None and threads <= host.cpu_dedicated_set
    return (threads or EMPTY) if isolated else EMPTY


def _emulator_policy(
    host: Host, guest: RunningGuest, cells: tuple[LayoutCell, ...], threads: CpuSet, reserved: bool
) -> EmulatorPolicy | None:
    """What flavor and image say; else the policy by which they would float where they do."""
    if guest.asked is not None:
        return guest.asked.emulator_threads_policy
    if reserved:
        return "isolate"
    if not cells:
        return None if guest.emulator is None else "share"
    return None if threads <= _where_vcpus_run(host, cells) else "share"


def _where_vcpus_run(host: Host, cells: tuple[LayoutCell, ...]) -> CpuSet:
    pins = union(cell.pcpus for cell in cells)
    return pins | union(host.shared(host.by_id[c.host_cell]) for c in cells if c.cpuset)


# ---- what the books cannot say ----


def _faults(
    host: Host, guest: RunningGuest, layout: Layout, pinned: Mapping[int, int]
) -> Iterator[str]:
    if guest.asked is not None:
        loose = guest.asked.dedicated - CpuSet.of(guest.single_pins)
        if loose:
            yield f"its vCPUs {loose} are to be dedicated, and are pinned to no pCPU of their own"
    for cell in layout.cells:
        yield from _astray(guest, cell.cpuset, host.shared(host.by_id[cell.host_cell]))
    if not layout.cells:
        yield from _astray(guest, guest.all_vcpus - CpuSet.of(pinned), host.cpu_shared_set)
    own = CpuSet.of(pinned.values()) | union(cell.pcpus for cell in layout.cells)
    allowed = host.cpu_shared_set | own
    others = {"emulator": [guest.emulator], "I/O": list(guest.iothreads)}
    for what, sets in others.items():
        for pcpus in dict.fromkeys(guest.floats if cpus is None else cpus for cpus in sets):
            if pcpus is None or not pcpus <= allowed:
                where = "every pCPU" if pcpus is None else f"pCPUs {pcpus - allowed}"
                yield f"its {what} threads may run on {where}; expected {_set(allowed)}"


def _astray(guest: RunningGuest, vcpus: CpuSet, shared: CpuSet) -> Iterator[str]:
    """Shared vCPUs that may run where they do not belong."""
    where = {vcpu: guest.pcpus(vcpu) for vcpu in vcpus}
    loose = CpuSet.of(v for v, pcpus in where.items() if pcpus is None or not pcpus <= shared)
    if loose:
        pcpus = anywhere([where[vcpu] for vcpu in loose])
        on = "every pCPU" if pcpus is None else f"pCPUs {pcpus}"
        yield f"its shared vCPUs {loose} may run on {on}; expected {_set(shared)} of cpu_shared_set"


def _set(cpus: CpuSet) -> str:
    return f"pCPUs {cpus}" if cpus else "none"


# ---- a flavor that asks for it ----


def _flavor(guest: RunningGuest, layout: Layout) -> tuple[Flavor, Image, list[str]]:
    """The domain's own where it asks for what runs; else one that is made of what runs."""
    memory_mb = sum(cell.memory_mb for cell in layout.cells) or guest.memory_mb
    sizes = (guest.vcpus, memory_mb)
    own = guest.flavor if guest.asked and _agrees(guest.asked, layout) else None
    if own and (own.vcpus, own.memory_mb) == sizes:
        return own, guest.image, []
    name = guest.flavor.name if guest.flavor else ""
    try:
        flavor = Flavor(guest.vcpus, memory_mb, name, _specs(layout))
        asked = request(flavor)
    except (InvalidRequest, ValueError) as error:
        flavor = Flavor(max(1, guest.vcpus), max(1, memory_mb), name)
        return flavor, Image(), [f"no flavor can ask for it: {error}"]
    wrong = [] if _agrees(asked, layout) else ["no flavor can ask for vCPUs divided as these are"]
    return flavor, Image(), wrong


def _agrees(asked: Request, layout: Layout) -> bool:
    wanted = [(cell.shared, cell.dedicated, cell.memory_mb) for cell in asked.cells]
    runs = [(cell.cpuset, cell.pcpuset, cell.memory_mb) for cell in layout.cells]
    policies = asked.emulator_threads_policy == layout.emulator_threads_policy
    return wanted == runs and policies and asked.realtime == layout.realtime_cpus


def _specs(layout: Layout) -> dict[str, str]:
    specs: dict[str, str] = {}
    if layout.emulator_threads_policy:
        specs["hw:emulator_threads_policy"] = layout.emulator_threads_policy
    if not layout.cells:
        return specs
    specs["hw:cpu_policy"] = layout.cpu_policy
    if layout.realtime_cpus:
        specs |= {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": str(layout.realtime_cpus)}
    if layout.cpu_policy == "mixed" and layout.realtime_cpus != layout.dedicated_cpus:
        specs["hw:cpu_dedicated_mask"] = str(layout.dedicated_cpus)
    specs["hw:numa_nodes"] = str(len(layout.cells))
    for cell in layout.cells if len(layout.cells) > 1 else ():
        specs[f"hw:numa_cpus.{cell.id}"] = str(cell.cpuset | cell.pcpuset)
        specs[f"hw:numa_mem.{cell.id}"] = str(cell.memory_mb)
    sizes = {cell.pagesize_kb for cell in layout.cells}
    if len(sizes) == 1 and None not in sizes:
        specs["hw:mem_page_size"] = str(sizes.pop())
    return specs
