"""Machines as no maker builds them: guests, CPUs taken offline, and one that is made up."""

from __future__ import annotations

from mdsvc.cpuset import CpuSet
from tests.machines.caching import by_cell, by_core
from tests.machines.facts import GIB, MIB, NO_HUGE, Cache, Cell, Machine
from tests.machines.numbering import cells_of, some, strides, threads_adjacent, threads_last


def nested() -> Machine:
    """Made up: cells that lie within one another, one without CPUs; 4-7 are in none."""
    cpus = cells_of(
        [0],
        12,
        2,
        lambda at: at.core * 2 + at.thread,
        socket=lambda at: at.core // 6,
        core=lambda at: at.core,
        die=lambda at: 0,
    )[0].cpus
    of_cells = ("0-3", "8-11", "", "20-23", "16-23", "12-23")
    cells = tuple(Cell(at, some(cpus, which), GIB) for at, which in enumerate(of_cells))
    distances = (
        (10, 20, 30, 40, 40, 50),
        (20, 10, 30, 40, 40, 50),
        (30, 30, 10, 40, 40, 50),
        (40, 40, 50, 10, 20, 30),
        (40, 40, 50, 20, 10, 30),
        (40, 40, 50, 30, 30, 10),
    )
    return Machine(cells, offline=CpuSet.parse("4-7"), distances=distances)


def crossing() -> Machine:
    """A guest whose vCPUs 0 and 4, 1 and 5 … are threads of a core, but lie in two cells."""
    cpus = cells_of([0], 4, 2, threads_last(1, 4))[0].cpus
    cells = tuple(
        Cell(at, some(cpus, which), 4 * GIB, ((2 * MIB, 512),))
        for at, which in enumerate(("0-3", "4-7"))
    )
    return Machine(cells)


def vcpus_as_sockets() -> Machine:
    """A guest as QEMU makes it by default: each vCPU is a socket with an L3 cache of its own."""
    cells = cells_of([0], 4, 1, strides(core=1), memory_kb=8 * GIB, socket=lambda at: at.core)
    caches = tuple(Cache(3, CpuSet.of([cpu]), 16 * MIB) for cpu in range(4))
    return Machine(cells, caches=by_core(cells, 32, 4 * MIB) + caches)


def partly_offline() -> Machine:
    """Of two cells of four cores a whole core is offline (3, 11), and a thread of another (13)."""
    cells = cells_of(range(2), 4, 2, threads_last(2, 4), memory_kb=16 * GIB, huge=NO_HUGE)
    offline = CpuSet.parse("3,11,13")
    return Machine(cells, caches=by_cell(cells, 16 * MIB), offline=offline)


def l3_that_cuts_a_core() -> Machine:
    """What some hypervisors tell their guests: CPUs 4 and 5 are a core, but have two caches."""
    cells = cells_of([0], 4, 2, threads_adjacent(4, 2), memory_kb=8 * GIB)
    return Machine(cells, caches=tuple(Cache(3, CpuSet.parse(c), MIB) for c in ("0-4", "5-7")))
