"""Intel's machines with x86 processors."""

from __future__ import annotations

from mdsvc.cpuset import CpuSet
from tests.machines.caching import by_cell, by_core
from tests.machines.facts import GIB, MIB, NO_HUGE, Cell, Machine
from tests.machines.numbering import apart, cells_interleaved, cells_of, strides, threads_last


def cascade_lake() -> Machine:
    """Each socket of 24 cores lacks others of the chip's 32: their numbers are left out."""
    cores = [list(CpuSet.parse(ids)) for ids in ("0-6,9-13,16-21,24-29", "0-6,8-13,16-21,25-29")]
    cells = cells_of(
        range(2),
        24,
        2,
        threads_last(2, 24),
        memory_kb=(32646592, 32982940),
        huge=NO_HUGE,
        core=lambda at: cores[at.cell][at.core],
    )
    caches = by_core(cells, 32, MIB) + by_cell(cells, 36608)
    return Machine(cells, caches=caches, distances=apart(2, 21))


def xeon_e5649() -> Machine:
    """A libvirt of 2012: neither memory nor pages are told."""
    cores = (0, 8, 2, 10, 1, 9)
    cells = cells_of(range(2), 6, 2, cells_interleaved(2, 6), core=lambda at: cores[at.core])
    return Machine(cells, untold=frozenset({"memory", "pages"}))


def xeon_with_huge_pages() -> Machine:
    cells = cells_of(
        range(2),
        8,
        2,
        threads_last(2, 8),
        memory_kb=(47925628, 49519964),
        huge=((2 * MIB, 2048), (GIB, 0)),
        die=lambda at: 0,
    )
    return Machine(cells, distances=apart(2, 21))


def haswell_half_offline() -> Machine:
    """Node 0 with every even CPU is offline, and of node 1 the first two and the last two CPUs."""
    cores = list(CpuSet.parse("0-5,8-13"))
    cells = cells_of(
        [1],
        12,
        1,
        strides(first=1, core=2),
        memory_kb=64 * GIB,
        huge=NO_HUGE,
        core=lambda at: cores[at.core],
        die=lambda at: 0,
    )
    offline = CpuSet.of(range(0, 24, 2)) | CpuSet.parse("1,3,21,23")
    return Machine(cells, offline=offline)


def knights_landing() -> Machine:
    """Cores of four threads, and beside each cell one of fast memory and no CPUs."""
    huge = ((2 * MIB, 0),)
    cells = cells_of(
        range(4),
        4,
        4,
        threads_last(4, 4),
        memory_kb=GIB,
        huge=huge,
        socket=lambda at: 0,
        core=lambda at: at.cell * 4 + at.core,
        die=lambda at: 0,
    )
    return Machine(cells + tuple(Cell(4 + at, (), 2 * GIB, huge) for at in range(4)))
