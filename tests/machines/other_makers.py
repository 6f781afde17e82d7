"""Machines that are no PCs: Itanium, POWER, Z and ARM."""

from __future__ import annotations

from tests.machines.caching import by_core
from tests.machines.facts import GIB, MIB, NO_HUGE, Cell, Machine
from tests.machines.numbering import apart, cells_of, strides, threads_adjacent


def altix() -> Machine:
    """64 blades of two sockets each; memory differs a little from cell to cell."""
    memory = [8077312] * 64
    memory[0], memory[63] = 8064400, 8054560
    for cell in (6, 14, 22, 29, 37, 45, 53, 61):
        memory[cell] = 8077296
    cells = cells_of(
        range(64),
        4,
        1,
        strides(cell=4, core=1),
        memory_kb=memory,
        huge=((2 * MIB, 0),),
        socket=lambda at: at.cell * 512 + at.core // 2 * 3,
        core=lambda at: at.core % 2,
        die=lambda at: 0,
    )
    return Machine(cells, arch="ia64", page_kb=16)


def power8_without_smt() -> Machine:
    """Cores have room for eight threads, of which one is there. Every other cell has no memory."""
    cores = [[32, 40, 48, 96, 112], [168, 176, 224, 232, 240]]
    cores += [[2080, 2096, 2144, 2152, 2160], [2216, 2224, 2272, 2280, 2288]]
    cells = cells_of(
        (0, 1, 16, 17),
        5,
        1,
        strides(cell=40, core=8),
        memory_kb=(64 * GIB, 0, 64 * GIB, 0),
        core=lambda at: cores[at.cell][at.core],
    )
    return Machine(cells, arch="ppc64", page_kb=64, untold=frozenset({"pages"}))


def power8_with_smt() -> Machine:
    """Eight threads a core. Memory and pages are made up."""
    cells = cells_of(
        (0, 1),
        5,
        8,
        threads_adjacent(5, 8),
        memory_kb=64 * GIB,
        huge=((16 * MIB, 128), (16 * GIB, 0)),
        core=lambda at: at.cell * 128 + at.core * 8,
    )
    return Machine(cells, arch="ppc64le", page_kb=64, caches=by_core(cells, 64, 512))


def power9_with_gpus() -> Machine:
    """Four of each socket's cores, and the memory of six GPUs in cells of their own."""
    ids = (0, 8, *range(250, 256))
    cells = cells_of(
        ids[:2],
        4,
        4,
        strides(cell=88, core=4, thread=1),
        memory_kb=(129839104, 133952000),
        huge=NO_HUGE,
        core=lambda at: at.cell * 2048 + 8 + at.core * 4,
        die=lambda at: 0,
    )
    gpus = tuple(Cell(cell, (), 15 * GIB, NO_HUGE) for cell in ids[2:])
    far = [list(row) for row in apart(len(ids), 80)]
    far[0][1] = far[1][0] = 40
    distances = tuple(map(tuple, far))
    return Machine(cells + gpus, arch="ppc64le", page_kb=64, distances=distances)


def z_guest() -> Machine:
    """A kernel without NUMA: libvirt makes one cell of it, and tells no pages there."""
    cells = cells_of([0], 4, 1, strides(core=1), memory_kb=3887724, huge=((MIB, 0),))
    return Machine(cells, arch="s390x", numa=False, untold=frozenset({"pages"}))


def altra() -> Machine:
    """80 cores of one thread; their common cache is none that the kernel knows of.

    Memory and pages are made up.
    """
    huge = ((64, 0), (2 * MIB, 0), (32 * MIB, 0), (GIB, 64))
    cells = cells_of([0], 80, 1, strides(core=1), memory_kb=256 * GIB, huge=huge)
    return Machine(cells, arch="aarch64", caches=by_core(cells, 64, MIB))
