"""What must be true of the books at any moment; nothing here asks what the product has checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from xml.etree import ElementTree as ET

from mdsvc.cpuset import CpuSet, union
from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import domain_xml
from mdsvc.placing.usage import place
from mdsvc.topology import Host, HostCell, MemoryPool

Books = Mapping[str, tuple[Host, Sequence[PlacedInstance]]]


def untruths(books: Books) -> list[str]:
    """What is wrong in any of the hosts, with the host's name."""
    return [
        f"host {name}: {fault}" for name, (host, guests) in books.items()
        for check in (_trespasses, _use, _overfull, _misplaced)
        for fault in check(host, guests)
    ]  # fmt: skip


# ---- no pCPU that is dedicated to one guest carries another ----


def _trespasses(host: Host, guests: Sequence[PlacedInstance]) -> Iterator[str]:
    for guest in guests:
        own = dedicated(host, guest)
        if not own <= host.cpu_dedicated_set:
            yield f"{guest.name}: {own - host.cpu_dedicated_set} are not dedicated"
        for other in guests:
            for where, runs in (("layout", in_layout(host, other)), ("XML", in_xml(host, other))):
                if other is not guest and own & runs:
                    yield f"{other.name}: its {where} has {own & runs}, which are {guest.name}'s"
        if guest.layout.cells and in_xml(host, guest) != in_layout(host, guest):
            yield f"{guest.name}: {in_xml(host, guest)} in XML, {in_layout(host, guest)} in layout"


def dedicated(host: Host, guest: PlacedInstance) -> CpuSet:
    """The pCPUs that are the guest's alone: pinned, reserved, and what `isolate` keeps idle."""
    own = union(cell.pcpus for cell in guest.layout.cells)
    if guest.layout.cpu_thread_policy == "isolate":
        own |= union(core for cell in host.cells for core in cell.cores if core & own)
    return own


def in_layout(host: Host, guest: PlacedInstance) -> CpuSet:
    """Wherever a thread of the guest may run, by its layout."""
    layout = guest.layout
    runs = [cell.pcpus for cell in layout.cells] + [layout.emulator_cpus]
    runs += [host.shared(host.by_id[cell.host_cell]) for cell in layout.cells if cell.cpuset]
    return union(runs if layout.cells else [host.cpu_shared_set])


def in_xml(host: Host, guest: PlacedInstance) -> CpuSet:
    """Wherever a thread of the guest may run, by its domain."""
    return union(CpuSet.parse(pin["cpuset"]) for _, pin in pins(host, guest))


def pins(host: Host, guest: PlacedInstance) -> list[tuple[str, dict[str, str]]]:
    """The elements of its domain that say where something runs."""
    root = ET.fromstring(domain_xml(guest, host))  # noqa: S314 - our own
    return [(at.tag, at.attrib) for at in root.iter() if "cpuset" in at.attrib]


# ---- the use of a host is the sum of its guests ----


def _use(host: Host, guests: Sequence[PlacedInstance]) -> Iterator[str]:
    told = reduce(lambda h, guest: place(h, guest.layout, guest.flavor), guests, host.without_use())
    if host != told:
        yield f"its use is {host}, and of its guests {told}"
    for cell in host.cells:
        used = [c for g in guests for c in g.layout.cells if c.host_cell == cell.id]
        sums = (
            union(dedicated(host, guest) & cell.cpus for guest in guests),
            sum(len(c.cpuset) for c in used),
            sum(c.memory_mb for c in used),
            [
                sum(c.memory_mb * 1024 for c in used if c.pagesize_kb == pool.size_kb)
                for pool in cell.pages
            ],
        )
        pages = [pool.used * pool.size_kb for pool in cell.pages]
        if (cell.pinned, cell.shared_used, cell.memory_used_mb, pages) != sums:
            yield f"the use of {cell} is not {sums}"


# ---- nothing is sold twice ----


def _overfull(host: Host, guests: Sequence[PlacedInstance]) -> Iterator[str]:
    floating = [guest.flavor for guest in guests if not guest.layout.cells]
    vcpus = sum(flavor.vcpus for flavor in floating) + sum(cell.shared_used for cell in host.cells)
    if vcpus > len(host.cpu_shared_set) * host.cpu_allocation_ratio:
        yield f"{vcpus} shared vCPUs"
    for cell in host.cells:
        yield from _overfull_cell(host, cell)
    base_kb = sum(max(0, _most_kb(host, c.base) - c.base.used_kb) for c in host.cells)
    memory_kb = sum(flavor.memory_mb for flavor in floating) * 1024
    if memory_kb > base_kb:
        yield f"{memory_kb} KiB of guests without NUMA topology, {base_kb} at most"


def _overfull_cell(host: Host, cell: HostCell) -> Iterator[str]:
    most = len(host.shared(cell)) * host.cpu_allocation_ratio
    if cell.shared_used > most:
        yield f"{cell.shared_used} shared vCPUs in cell {cell.id}, {most} at most"
    for pool in cell.pools:
        if pool.used_kb > _most_kb(host, pool):
            yield f"{pool} in cell {cell.id}, {_most_kb(host, pool)} at most"


def _misplaced(host: Host, guests: Sequence[PlacedInstance]) -> Iterator[str]:
    for guest in guests:
        if guest.layout.cpu_policy == "mixed" and host.service_version < 2:
            yield f"{guest.name} is mixed, and the host does not know such"
        for cell in guest.layout.cells:
            if len(cell.cpuset) > len(host.shared(host.by_id[cell.host_cell])):
                yield f"{guest.name} has shared vCPUs {cell.cpuset} on fewer pCPUs"


def _most_kb(host: Host, pool: MemoryPool) -> float:
    ratio = host.ram_allocation_ratio
    return pool.capacity_kb * (ratio if pool.is_base else min(1.0, ratio))
