"""AMD's machines: a socket is many dies, and firmware makes cells of them."""

from __future__ import annotations

from tests.machines.caching import by_die
from tests.machines.facts import GIB, MIB, Cell, Machine
from tests.machines.numbering import Place, cells_of, threads_adjacent, threads_last

_CCD_ORDER = (0, 4, 8, 2, 6, 10, 3, 7, 11, 1, 5, 9)
"""An EPYC 9654 has 12 dies of 8 cores and one L3 cache; CPUs are numbered through them so."""


def epyc_9654(cells: int, huge_2m: int, huge_1g: int) -> Machine:
    """Two sockets; firmware splits each into cells as it is told to (NPS4, or L3 as NUMA).

    Memory and pages are made up.
    """
    cores = 192 // cells

    def die(at: Place) -> int:
        return _CCD_ORDER[(at.cell * cores + at.core) % 96 // 8]

    parts = cells_of(
        range(cells),
        cores,
        2,
        threads_last(cells, cores),
        memory_kb=1536 * GIB // cells,
        huge=((2 * MIB, huge_2m), (GIB, huge_1g)),
        socket=lambda at: at.cell * cores // 96,
        core=lambda at: die(at) * 8 + at.core % 8,
        die=die,
    )
    return Machine(parts, caches=by_die(parts, 32 * MIB))


def opteron_6274() -> Machine:
    """Two cores of a module count as its threads, each with its own core id. Memory for play."""
    huge = (100, 1, 0, 100)
    pages = (2500, 2, 0, 2500)
    cells = cells_of(
        range(4),
        4,
        2,
        threads_adjacent(4, 2),
        socket=lambda at: at.cell // 2,
        core=lambda at: at.core * 2 + at.thread,
    )
    cells = tuple(
        Cell(cell.id, cell.cpus, 4 * small + 2 * MIB * large, ((2 * MIB, large),))
        for cell, small, large in zip(cells, pages, huge, strict=True)
    )
    return Machine(cells, untold=frozenset({"memory"}))
