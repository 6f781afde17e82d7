"""Where a guest's vCPUs are: Layout, and ``fit(host, request)``, which finds the best one.

Sound, complete, best and stable: what is returned satisfies every rule; if any assignment of
guest cells to host cells does, one is found; among these, the one that breaks the fewest whole
cores, then follows the host's ``packing``, then has the lowest ids. Nothing given is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mdsvc.assignment import assign
from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.demand import Demand, fits, page_size, variants
from mdsvc.errors import DoesNotFit
from mdsvc.flavor import EmulatorPolicy, GuestCell, Policy, Request, ThreadPolicy
from mdsvc.forms import Form
from mdsvc.reasons import explain, is_refused
from mdsvc.rooms import Room, broken, pick, ranked, rooms
from mdsvc.topology import Host


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
    cpuset_reserved: CpuSet = EMPTY
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
    if is_refused(host, request):
        raise does_not_fit(host, request)
    if not request.cells:
        return _layout(host, request, ())
    found = _best(_ranks(host), request)
    if found is None:
        raise does_not_fit(host, request)
    _, demands, columns = found
    chosen = [ranked(host)[column] for column in columns]
    return _layout(host, request, tuple(map(_cell, request.cells, demands, chosen)))


def price(host: Host, request: Request) -> int | None:
    """What the best layout costs, comparable between hosts; None where the request does not fit.

    Most significant first: whole cores broken, then what the host's packing prefers.
    """
    if is_refused(host, request):
        return None
    if not request.cells:
        left = sum(room.shared_most for room in rooms(host)) - host.floating_vcpus
        memory = sum(room.memory_free_mb for room in rooms(host)) - host.floating_memory_mb
        return _rank(host, max(0, left), max(0, memory))
    found = _best(_rank_rooms(host, rooms(host)), request)  # in any order: places do not count
    return found and found[0] // _PLACES


def does_not_fit(host: Host, request: Request) -> DoesNotFit:
    """The reasons take longer than to find that there is no place, so they wait to be asked."""
    return DoesNotFit(f"does not fit on host {host.name}", partial(explain, host, request))


def _best(ranks: _Ranks, request: Request) -> tuple[int, Sequence[Demand], list[int]] | None:
    """The least cost, the demands with the isolated emulator in its cell, and their rooms."""
    best = None
    rows: dict[Demand, list[int | None]] = {}
    for home, demands in enumerate(variants(request)):
        for demand in demands:
            if demand not in rows:
                rows[demand] = [_cost(demand, *place) for place in ranks]
        costs = [rows[demand] for demand in demands]
        columns = assign(costs)
        if columns is not None:
            total = sum(row[column] or 0 for row, column in zip(costs, columns, strict=True))
            key = (total // _CORE, home)  # among equals the earliest cell, guest cell 0's
            if best is None or key < best[0]:
                best = key, (total, demands, columns)
    return best and best[1]


# A cost is one whole number, most significant first: cores broken, the packing's preference for
# CPUs, that for memory, and the room's place in the ranking. Each part has head-room for the sum
# over all guest cells.
_PLACES = 1 << 20
_MEMORY = 1 << 52
_CPUS = 1 << 40
_CORE = _CPUS * _MEMORY * _PLACES

_Ranks = tuple[tuple[Room, int, int], ...]
"""Each room with what it costs a guest cell with pCPUs of its own, and one without."""


def _ranks(host: Host) -> _Ranks:
    """Worked out once for a host."""
    kept: _Ranks | None = host.__dict__.get("_ranks")
    if kept is None:
        kept = host.__dict__["_ranks"] = _rank_rooms(host, ranked(host))
    return kept


def _rank_rooms(host: Host, in_order: Sequence[Room]) -> _Ranks:
    return tuple(
        (
            room,
            _rank(host, room.free, room.memory_free_mb) * _PLACES + place,
            _rank(host, room.shared_most, room.memory_free_mb) * _PLACES + place,
        )
        for place, room in enumerate(in_order)
    )


def _rank(host: Host, cpus: int, memory_mb: int) -> int:
    """Emptiest first where the host spreads, fullest first where it packs."""
    if host.packing == "spread":
        cpus, memory_mb = (_CPUS >> 8) - cpus, (_MEMORY >> 8) - memory_mb
    return cpus * _MEMORY + memory_mb


def _cost(demand: Demand, room: Room, dedicated_rank: int, shared_rank: int) -> int | None:
    """What it costs to put the guest cell there; None where a rule forbids it."""
    if not fits(demand, room):
        return None
    if not (demand.dedicated or demand.reserved):
        return shared_rank
    cores = broken(room, demand.threads, demand.dedicated, demand.reserved)
    return cores * _CORE + dedicated_rank


def _cell(guest: GuestCell, demand: Demand, room: Room) -> LayoutCell:
    picked = pick(room, demand.threads, demand.dedicated, demand.reserved)
    return LayoutCell(
        id=guest.id,
        host_cell=room.cell.id,
        cpuset=guest.shared,
        pcpuset=guest.dedicated,
        cpu_pinning=dict(zip(guest.dedicated_vcpus, picked.pcpus, strict=True)),
        cpuset_reserved=CpuSet(picked.reserved) if picked.reserved else EMPTY,
        memory_mb=guest.memory_mb,
        pagesize_kb=None if demand.page_size is None else page_size(demand, room),
    )


def _layout(host: Host, request: Request, cells: tuple[LayoutCell, ...]) -> Layout:
    return Layout(
        dedicated_cpus=request.dedicated,
        shared_cpus=request.shared,
        realtime_cpus=request.realtime,
        cpu_policy=request.cpu_policy,
        cpu_thread_policy=request.cpu_thread_policy,
        emulator_threads_policy=request.emulator_threads_policy,
        emulator_cpus=_EMULATOR_CPUS[request.emulator_threads_policy](host, cells),
        cells=cells,
    )


def _pinned(cells: Sequence[LayoutCell]) -> CpuSet:
    return CpuSet.of(pcpu for cell in cells for pcpu in cell.cpu_pinning.values())


def _reserved(_host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    return union(cell.cpuset_reserved for cell in cells)


def _shared_or_pinned(host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    return (host.cpu_shared_set or _pinned(cells)) if cells else EMPTY


def _where_vcpus_run(host: Host, cells: Sequence[LayoutCell]) -> CpuSet:
    shared = (host.shared(host.by_id[cell.host_cell]) for cell in cells if cell.cpuset)
    return union((_pinned(cells), *shared))


_EMULATOR_CPUS: Mapping[EmulatorPolicy | None, Callable[[Host, Sequence[LayoutCell]], CpuSet]] = {
    # over which pCPUs the emulator threads float: R11, R12, R13
    "isolate": _reserved,
    "share": _shared_or_pinned,
    None: _where_vcpus_run,
}
