"""A placed guest's ``<cpu>``: the model, the cores and the NUMA nodes that it sees."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from mdsvc.cpuset import CpuSet
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout, LayoutCell
from mdsvc.topology import Host


def cpu(guest: PlacedInstance, host: Host, kind: str) -> Element | None:
    """The model is the host's, so that a guest has all that it can; QEMU alone has its own."""
    element = Element("cpu", {"mode": "host-model"} if kind == "kvm" else {})
    cells = guest.layout.cells
    threads = _threads(guest.layout, host)
    if threads > 1 and _are_even(cells):
        cores = guest.flavor.vcpus // len(cells) // threads
        topology = {"sockets": len(cells), "cores": cores, "threads": threads}
        SubElement(element, "topology", {name: str(size) for name, size in topology.items()})
    if cells:
        SubElement(element, "numa").extend(_cell(cell, host) for cell in cells)
    return element if element.attrib or len(element) else None


def is_huge(cell: LayoutCell, host: Host) -> bool:
    """Whether its memory is in huge pages, and not in those that memory is in by itself."""
    size_kb = cell.pagesize_kb
    return size_kb is not None and size_kb != host.by_id[cell.host_cell].base.size_kb


def _cell(cell: LayoutCell, host: Host) -> Element:
    """Huge pages are mapped shared, as in Nova, or no vhost-user switch could reach them."""
    form = {
        "id": str(cell.id),
        "cpus": str(cell.cpuset | cell.pcpuset),
        "memory": str(cell.memory_mb),
        "unit": "MiB",
    }
    return Element("cell", form | ({"memAccess": "shared"} if is_huge(cell, host) else {}))


def _threads(layout: Layout, host: Host) -> int:
    """How many vCPUs in a row are always threads of one core of the host: 2 or more, or 1.

    A guest takes its cores to be all alike and numbers their threads one after the other.
    """
    pinning = {vcpu: pcpu for cell in layout.cells for vcpu, pcpu in cell.cpu_pinning.items()}
    core_of = {pcpu: core for cell in host.cells for core in cell.cores for pcpu in core}
    cores = [core_of[pinning[vcpu]] for vcpu in sorted(pinning)]
    if layout.shared_cpus or not cores:
        return 1
    return max(size for size in range(1, len(cores[0]) + 1) if _are_whole(cores, size))


def _are_whole(cores: list[CpuSet], size: int) -> bool:
    """Whether the list is made of runs of that many equal ones."""
    runs = [set(cores[at : at + size]) for at in range(0, len(cores), size)]
    return len(cores) % size == 0 and all(len(run) == 1 for run in runs)


def _are_even(cells: tuple[LayoutCell, ...]) -> bool:
    """Whether sockets can be the cells: equal, and their vCPUs in a row."""
    size = len(cells[0].cpuset | cells[0].pcpuset)
    return all(
        cell.cpuset | cell.pcpuset == CpuSet.of(range(at * size, (at + 1) * size))
        for at, cell in enumerate(cells)
    )
