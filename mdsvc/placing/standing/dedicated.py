"""Pinned and reserved pCPUs, and their siblings (R9, R11, R14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.placing.standing.residents import Broken, Part, Resident, parts
from mdsvc.placing.usage import taken
from mdsvc.policy.flavor import ThreadPolicy
from mdsvc.topology import Host, HostCell


def dedicated_cpus(host: Host, guests: Sequence[Resident]) -> Broken:
    """Each pCPU is in ``cpu_dedicated_set``, in the cell that the guest's memory is in, and no
    other guest's.
    """
    for part in parts(host, guests):
        missing = part.used.pcpus - part.cell.cpus
        if missing:
            yield part.guest, f"its pCPUs {missing} are not in {part.where}"
        outside = (part.used.pcpus & part.cell.cpus) - host.cpu_dedicated_set
        if outside:
            yield part.guest, f"its pCPUs {outside} are not in cpu_dedicated_set"
    yield from _given_twice(host, guests)


def _given_twice(host: Host, guests: Sequence[Resident]) -> Broken:
    """With new siblings `isolate` may keep other threads from everybody than it did."""
    kept = [(part, taken(part.cell, part.used, part.guest.layout)) for part in parts(host, guests)]
    once = twice = EMPTY
    for _, pcpus in kept:
        once, twice = once | pcpus, twice | once & pcpus
    for part, pcpus in kept:
        if pcpus & twice:
            yield part.guest, f"pCPUs {pcpus & twice} would be kept for two guests at once"


def thread_policy(host: Host, guests: Sequence[Resident]) -> Broken:
    """`require` and `isolate` hold on the cores as they are now."""
    for cell in host.cells:
        in_cell = [part for part in parts(host, guests) if part.cell is cell]
        for policy, rule in _BY_POLICY.items():
            bound = [part for part in in_cell if part.guest.layout.cpu_thread_policy == policy]
            for part, message in rule(host, cell, bound):
                yield part.guest, f"{policy}: {message}"


_Faults = Iterator[tuple[Part, str]]


def _require(host: Host, cell: HostCell, in_cell: Sequence[Part]) -> _Faults:
    """Each core gives a guest two threads or more, save one that gives a single one; a second
    thread was free for it, whoever has that now.
    """
    alone = EMPTY
    for part in in_cell:
        pins = CpuSet.of(part.used.cpu_pinning.values())
        single = pins & union(core for core in cell.cores if len(core & pins) == 1)
        alone |= single
        if len(single) > 1:
            yield part, f"its pCPUs {single} would each be alone on a core"
    for core in cell.cores:
        lonely = core & alone if len(core & alone) >= len(core & host.cpu_dedicated_set) else EMPTY
        for part in in_cell:
            if part.used.pcpus & lonely:
                pcpu = part.used.pcpus & lonely
                yield part, f"its pCPU {pcpu} would have no other thread of its core beside it"


def _isolate(host: Host, cell: HostCell, in_cell: Sequence[Part]) -> _Faults:
    """Each pCPU has a core of its own, all of it dedicated and none of it in another cell."""
    for part in in_cell:
        own = part.used.pcpus
        cores = [core for core in cell.cores if core & own]
        joint = own & union(core for core in cores if len(core & own) > 1)
        if joint:
            yield part, f"its pCPUs {joint} would share a core"
        if own & cell.split:
            yield part, f"the cores of its pCPUs {own & cell.split} would reach into another cell"
        outside = union(cores) - own - host.cpu_dedicated_set
        if outside:
            yield part, f"siblings {outside} of its pCPUs are not in cpu_dedicated_set"


_BY_POLICY: Mapping[ThreadPolicy, Callable[[Host, HostCell, Sequence[Part]], _Faults]] = {
    "require": _require,
    "isolate": _isolate,
}
