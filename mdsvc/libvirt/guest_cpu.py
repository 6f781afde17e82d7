"""A placed guest's ``<cpu>``: the model, the cores and the NUMA nodes that it sees."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from xml.etree.ElementTree import Element, SubElement

from mdsvc.cpuset import CpuSet
from mdsvc.errors import InvalidRequest
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout, LayoutCell
from mdsvc.libvirt.machines import VirtType, machine_of
from mdsvc.policy import extra_specs as read
from mdsvc.policy.cpu_topology import CpuTopology, Wishes, wishes
from mdsvc.topology import MAX_BASE_KB, Host


def cpu(guest: PlacedInstance, host: Host, kind: VirtType) -> Element | None:
    """The model is the host's, so that a guest has all that it can; QEMU alone has its own."""
    mode = machine_of(host).cpu_mode(kind)
    element = Element("cpu", {"mode": mode} if mode else {})
    topology = _topology(guest, host, kind)
    if topology:
        sizes = {name: str(getattr(topology, name)) for name in topology.__struct_fields__}
        SubElement(element, "topology", sizes)
    if guest.layout.cells and host.gives_nodes:
        SubElement(element, "numa").extend(_cell(cell, host) for cell in guest.layout.cells)
    return element if element.attrib or len(element) else None


# ---- NUMA nodes ----


def is_huge(cell: LayoutCell, host: Host) -> bool:
    """Whether its memory is in huge pages, and not in those that memory is in by itself."""
    base_kb = host.by_id[cell.host_cell].base.size_kb or MAX_BASE_KB
    return cell.pagesize_kb is not None and cell.pagesize_kb > base_kb


def _cell(cell: LayoutCell, host: Host) -> Element:
    """Huge pages are mapped shared, as in Nova, or no vhost-user switch could reach them."""
    form = {
        "id": str(cell.id),
        "cpus": str(cell.cpuset | cell.pcpuset),
        "memory": str(cell.memory_mb),
        "unit": "MiB",
    }
    return Element("cell", form | ({"memAccess": "shared"} if is_huge(cell, host) else {}))


# ---- sockets, cores and threads ----


def _topology(guest: PlacedInstance, host: Host, kind: VirtType) -> CpuTopology | None:
    """As flavor and image wish, but no threads that the host does not make true (R28)."""
    threads = kind in machine_of(host).threads
    default = _of_placement(guest.layout, host) if threads else None
    wanted = _wishes(guest)
    if not wanted.given:
        return default
    cores = _cores(guest, host)
    return wanted.best(len(cores), lambda size: threads and _are_whole(cores, size), default)


def _wishes(guest: PlacedInstance) -> Wishes:
    """None where they are wrong: such a guest was stored before they were looked at."""
    specs, props = read.texts(guest.flavor.extra_specs), read.texts(guest.image.properties)
    try:
        return wishes(specs, props, guest.flavor.vcpus)
    except InvalidRequest:
        return Wishes()


def _of_placement(layout: Layout, host: Host) -> CpuTopology | None:
    """Where vCPUs in a row are always threads of one core of the host: its cores, and the cells as
    sockets. A guest takes its cores to be all alike and numbers their threads one after the other.
    """
    cores = list(_pinned_cores(layout, host).values())
    if layout.shared_cpus or not cores or not _are_even(layout.cells):
        return None
    threads = max(size for size in range(1, len(cores[0]) + 1) if _are_whole(cores, size))
    sockets = len(layout.cells)
    return CpuTopology(sockets, len(cores) // sockets // threads, threads) if threads > 1 else None


def _pinned_cores(layout: Layout, host: Host) -> dict[int, CpuSet]:
    """Each dedicated vCPU's core of the host, by vCPU."""
    pinning = {vcpu: pcpu for cell in layout.cells for vcpu, pcpu in cell.cpu_pinning.items()}
    core_of = {pcpu: core for cell in host.cells for core in cell.cores for pcpu in core}
    return {vcpu: core_of[pinning[vcpu]] for vcpu in sorted(pinning)}


def _cores(guest: PlacedInstance, host: Host) -> list[Hashable]:
    """For each vCPU what its siblings have in common with it: the core of the host that it is
    pinned to. Where it floats nothing is against siblings but another cell.
    """
    floats = {vcpu: cell.host_cell for cell in guest.layout.cells for vcpu in cell.cpuset}
    pinned = _pinned_cores(guest.layout, host)
    return [pinned.get(vcpu, floats.get(vcpu)) for vcpu in range(guest.flavor.vcpus)]


def _are_whole(cores: Sequence[Hashable], size: int) -> bool:
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
