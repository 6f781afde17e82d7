"""What placed guests use of a host: adding a layout to it, and taking it away again."""

from __future__ import annotations

from msgspec.structs import replace

from mdsvc.cpuset import CpuSet, union
from mdsvc.layout import Layout, LayoutCell
from mdsvc.policy.flavor import Flavor
from mdsvc.topology import Host, HostCell


def place(host: Host, layout: Layout, flavor: Flavor) -> Host:
    """The host with the guest on it. Placing and removing is the identity."""
    return _changed(host, layout, flavor, +1)


def remove(host: Host, layout: Layout, flavor: Flavor) -> Host:
    """The host without the guest."""
    return _changed(host, layout, flavor, -1)


def taken(cell: HostCell, used: LayoutCell, layout: Layout) -> CpuSet:
    """The pCPUs that a guest cell keeps from all others: its own, and with the thread policy
    `isolate` the other threads of their cores too.
    """
    if layout.cpu_thread_policy != "isolate":
        return used.pcpus
    return union(core for core in cell.cores if core & used.pcpus)


def _changed(host: Host, layout: Layout, flavor: Flavor, sign: int) -> Host:
    if not layout.cells:
        return replace(
            host,
            floating_vcpus=host.floating_vcpus + sign * flavor.vcpus,
            floating_memory_mb=host.floating_memory_mb + sign * flavor.memory_mb,
        )
    used = {cell.host_cell: cell for cell in layout.cells}
    cells = tuple(
        _cell(cell, used[cell.id], layout, sign) if cell.id in used else cell for cell in host.cells
    )
    return replace(host, cells=cells)


def _cell(cell: HostCell, used: LayoutCell, layout: Layout, sign: int) -> HostCell:
    """All memory is in ``memory_used_mb``; that of a guest which asked for a page size in its pool
    too. So what the base pool has in use is always the sum of its guests (R27).
    """
    pcpus = taken(cell, used, layout)
    pages = tuple(
        replace(pool, used=pool.used + sign * used.memory_mb * 1024 // pool.size_kb)
        if pool.size_kb == used.pagesize_kb
        else pool
        for pool in cell.pages
    )
    return replace(
        cell,
        pinned=cell.pinned | pcpus if sign > 0 else cell.pinned - pcpus,
        shared_used=cell.shared_used + sign * len(used.cpuset),
        memory_used_mb=cell.memory_used_mb + sign * used.memory_mb,
        pages=pages,
    )
