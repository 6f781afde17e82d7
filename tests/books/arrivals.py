"""The other way to say what a changed host takes: its guests come to it one by one, each to where
it is, and each is judged by the reference's rules as a new one would be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from mdsvc.cpuset import CpuSet
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.layout import LayoutCell
from mdsvc.placing.usage import place
from mdsvc.policy.flavor import Request, request
from mdsvc.topology import Host
from tests.reference import rules
from tests.reference.facts import Cell, cells_of
from tests.strategies import plain


def takes(host: Host, guests: Sequence[PlacedInstance]) -> bool:
    """Whether they can all come, in the order that leaves each of them the most."""
    host = host.without_use()
    for guest in sorted(guests, key=lambda guest: _order(host, guest)):
        if any(_faults(host, guest)):
            return False
        host = place(host, guest.layout, guest.flavor)
    return True


def _order(host: Host, guest: PlacedInstance) -> tuple[bool, bool, bool]:
    """Those that overcommit memory come late, and those that float last; among those with pCPUs,
    who needs a free sibling comes first.
    """
    wanted = request(guest.flavor, guest.image)
    return not wanted.cells, _overcommits(wanted), not _lonely(host, guest)


def _overcommits(wanted: Request) -> bool:
    return wanted.cpu_policy == "shared" and wanted.page_size is None


def _lonely(host: Host, guest: PlacedInstance) -> bool:
    pins = [CpuSet.of(cell.cpu_pinning.values()) for cell in guest.layout.cells]
    cores = [core for cell in host.cells for core in cell.cores]
    alone = any(len(core & own) == 1 for own in pins for core in cores)
    return guest.layout.cpu_thread_policy == "require" and alone


def _faults(host: Host, guest: PlacedInstance) -> Iterator[object]:
    form, wanted = json.loads(to_json(host)), request(guest.flavor, guest.image)
    yield from rules.host_faults(form, plain(wanted))
    cells = {cell.id: cell for cell in cells_of(form)}
    if not wanted.cells:
        yield from _floating_faults(host, guest, list(cells.values()))
    for used in guest.layout.cells:
        if used.host_cell not in cells:
            yield f"no host cell {used.host_cell}"
            continue
        cell = cells[used.host_cell]
        pins, threads = frozenset(used.cpu_pinning.values()), wanted.cpu_thread_policy
        yield from rules.pin_faults(cell, pins, threads)
        for emulator in used.cpuset_reserved:
            yield from rules.emulator_faults(cell, pins, emulator, threads)
        yield from rules.shared_faults(form, cell, len(used.cpuset))
        yield from _memory_faults(host, used, wanted)


def _memory_faults(host: Host, used: LayoutCell, wanted: Request) -> Iterator[str]:
    pool = host.by_id[used.host_cell].pool(used.pagesize_kb)
    memory_kb = used.memory_mb * 1024
    if pool is None or memory_kb > pool.capacity_kb:
        yield "its pool is not there, or too small for it alone"
    elif pool.used_kb + memory_kb > host.limit_kb(pool, _overcommits(wanted)):
        yield "its pool is too full"


def _floating_faults(host: Host, guest: PlacedInstance, cells: list[Cell]) -> Iterator[str]:
    vcpus, memory_kb = guest.flavor.vcpus, guest.flavor.memory_mb * 1024
    ratio = host.cpu_allocation_ratio
    left = sum(max(0.0, len(cell.shared) * ratio - cell.shared_used) for cell in cells)
    if vcpus > len(host.cpu_shared_set) or host.floating_vcpus + vcpus > left:
        yield "not enough shared CPUs"
    if memory_kb > min(
        sum(cell.base.capacity_kb for cell in host.cells), host.base_left_kb(overcommits=True)
    ):
        yield "not enough memory"
