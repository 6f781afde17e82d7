"""Where a guest's vCPUs are: Layout, and ``fit(host, request)``, which finds the best one.

Sound, complete, best and stable: what is returned satisfies every rule; if any assignment of
guest cells to host cells does, one is found; among these, the one that breaks the fewest whole
cores, then is in the fewest L3 domains, then follows the host's ``packing``, then has the lowest
ids. Nothing given is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import DoesNotFit
from mdsvc.fitting import search
from mdsvc.fitting.demand import Demand, page_size
from mdsvc.fitting.reasons import explain, is_refused
from mdsvc.fitting.search import Found
from mdsvc.fitting.vacancy import Vacancy, pick
from mdsvc.forms import Form
from mdsvc.policy.flavor import EmulatorPolicy, GuestCell, Policy, Request, ThreadPolicy
from mdsvc.topology import Host

__all__ = ["Found", "Layout", "LayoutCell", "does_not_fit", "find", "fit", "laid_out", "refloat"]


class LayoutCell(Form, frozen=True):
    """One guest NUMA cell on its host cell (R19): ``cpuset`` are its shared vCPUs, ``pcpuset``
    its dedicated ones, ``cpu_pinning`` maps each of these to its pCPU, and ``cpuset_reserved``
    is the pCPU of an isolated emulator thread.
    """

    id: int
    host_cell: int
    cpuset: CpuSet
    pcpuset: CpuSet
    cpu_pinning: dict[int, int]
    memory_mb: int
    cpuset_reserved: CpuSet = msgspec.field(default_factory=CpuSet)
    pagesize_kb: int | None = None

    @property
    def pcpus(self) -> CpuSet:
        """The pCPUs that are this cell's alone, by pinning or reservation."""
        return CpuSet.of(self.cpu_pinning.values()) | self.cpuset_reserved


class Layout(Form, frozen=True):
    """Where a guest is on its host. The first three sets are vCPUs, ``emulator_cpus`` pCPUs.

    A guest without a NUMA topology floats over the whole host: no cells and empty sets.
    """

    dedicated_cpus: CpuSet
    shared_cpus: CpuSet
    realtime_cpus: CpuSet
    cpu_policy: Policy
    cpu_thread_policy: ThreadPolicy | None
    emulator_threads_policy: EmulatorPolicy | None
    emulator_cpus: CpuSet
    cells: tuple[LayoutCell, ...]


def fit(host: Host, request: Request) -> Layout:
    """The best layout of the request on the host. Raises DoesNotFit, which knows the reasons."""
    found = None if is_refused(host, request) else search.best(host, request)
    if found is None:
        raise does_not_fit(host, request)
    return laid_out(found, request)


def find(host: Host, request: Request) -> Found | None:
    """The best place of the request on one of many hosts, whose ``price`` is comparable between
    them; None where there is none. It is the one that ``fit`` takes.
    """
    return None if is_refused(host, request) else search.best_of_many(host, request)


def laid_out(found: Found, request: Request) -> Layout:
    """The layout of the request in the place that was found for it."""
    placed = Layout(
        dedicated_cpus=request.dedicated,
        shared_cpus=request.shared,
        realtime_cpus=request.realtime,
        cpu_policy=request.cpu_policy,
        cpu_thread_policy=request.cpu_thread_policy,
        emulator_threads_policy=request.emulator_threads_policy,
        emulator_cpus=EMPTY,
        cells=tuple(map(_cell, request.cells, found.demands, found.vacancies)),
    )
    return refloat(found.host, placed)


def refloat(host: Host, layout: Layout) -> Layout:
    """The layout with its emulator threads where they float on the host as it is now (R11-R13)."""
    emulator_cpus = _EMULATOR_CPUS[layout.emulator_threads_policy](host, layout.cells)
    return msgspec.structs.replace(layout, emulator_cpus=emulator_cpus)


def does_not_fit(host: Host, request: Request) -> DoesNotFit:
    """The reasons take longer than to find that there is no place, so they wait to be asked."""
    return DoesNotFit(f"does not fit on host {host.name}", partial(explain, host, request))


def _cell(guest: GuestCell, demand: Demand, vacancy: Vacancy) -> LayoutCell:
    picked = pick(vacancy, demand.threads, demand.dedicated, demand.reserved)
    return LayoutCell(
        id=guest.id,
        host_cell=vacancy.cell.id,
        cpuset=guest.shared,
        pcpuset=guest.dedicated,
        cpu_pinning=dict(zip(guest.dedicated_vcpus, picked.pcpus, strict=True)),
        cpuset_reserved=CpuSet(picked.reserved) if picked.reserved else EMPTY,
        memory_mb=guest.memory_mb,
        pagesize_kb=page_size(demand, vacancy),
    )


def _pinned(cells: Sequence[LayoutCell]) -> CpuSet:
    mask = 0
    for cell in cells:
        for pcpu in cell.cpu_pinning.values():
            mask |= 1 << pcpu
    return CpuSet(mask)


def _reserved(_host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    return union(cell.cpuset_reserved for cell in cells)


def _shared_or_pinned(host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    return (host.cpu_shared_set or _pinned(cells)) if cells else EMPTY


def _where_vcpus_run(host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    sets = [_pinned(cells)]
    sets += [host.shared(host.by_id[cell.host_cell]) for cell in cells if cell.cpuset]
    return union(sets)


_EMULATOR_CPUS: Mapping[EmulatorPolicy | None, Callable[[Host, Sequence[LayoutCell]], CpuSet]] = {
    # over which pCPUs the emulator threads float: R11, R12, R13
    "isolate": _reserved,
    "share": _shared_or_pinned,
    None: _where_vcpus_run,
}
