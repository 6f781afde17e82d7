"""The hosts and guests that the measurements are about, as data. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Core: TypeAlias = tuple[int, ...]

MEMORY_MB = 2**20
"""Of each host cell: so much that memory is never what is missing."""
VCPU_MB = 256
"""The memory that a guest has for each vCPU."""

# Of each eight cores of two threads, how many threads of each are pinned.
EMPTY = (0, 0, 0, 0, 0, 0, 0, 0)
HALF = (2, 2, 2, 1, 1, 0, 0, 0)
FULL = (2, 2, 2, 2, 2, 2, 2, 2)


@dataclass(frozen=True)
class Machine:
    """NUMA cells of so many cores of two threads; the first cores of each cell are shared."""

    cells: int
    cores: int
    shared: int = 0
    use: tuple[tuple[int, ...], ...] = (EMPTY,)  # of the first cells; the last one's of all others
    l3: int = 0  # cores that share an L3 cache; 0 where that is not told

    def host(self, name: str = "h1") -> Json:
        """The host in its JSON form, with the use of it."""
        cells = [self._cores(at) for at in range(self.cells)]
        return {
            "name": name,
            "cpu_shared_set": listed(cpu for cell in cells for cpu in _cpus(cell[: self.shared])),
            "cpu_dedicated_set": listed(
                cpu for cell in cells for cpu in _cpus(cell[self.shared :])
            ),
            "cells": [self._cell(at, cores) for at, cores in enumerate(cells)],
        }

    def _cores(self, cell: int) -> list[Core]:
        """As on most machines, the second threads are numbered after all the first ones."""
        first = cell * self.cores
        return [(core, core + self.cells * self.cores) for core in range(first, first + self.cores)]

    def _cell(self, at: int, cores: list[Core]) -> Json:
        use = self.use[min(at, len(self.use) - 1)]
        pinned = [core[: use[n % len(use)]] for n, core in enumerate(cores[self.shared :])]
        return {
            "id": at,
            "memory_mb": MEMORY_MB,
            "cpus": listed(_cpus(cores)),
            "siblings": [listed(core) for core in cores],
            "l3": [
                listed(_cpus(cores[first : first + self.l3]))
                for first in range(0, len(cores) if self.l3 else 0, self.l3 or 1)
            ],
            "pages": [{"size_kb": 4, "total": MEMORY_MB * 256}],
            "pinned": listed(_cpus(pinned)),
        }


def _cpus(cores: Iterable[Core]) -> list[int]:
    return [cpu for core in cores for cpu in core]


def listed(cpus: Iterable[int]) -> str:
    """A CPU set as a flavor and a host name it."""
    return ",".join(map(str, cpus))


@dataclass(frozen=True)
class Case:
    """A guest whose cells have so many (shared, dedicated) vCPUs, to fit on a machine."""

    name: str
    machine: Machine
    guest: tuple[tuple[int, int], ...]
    fits: bool = True

    def flavor(self) -> Json:
        """The flavor that asks for it; each cell's shared vCPUs come first."""
        specs: Json = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": len(self.guest)}
        vcpus = 0
        dedicated: list[int] = []
        for cell, (shared, own) in enumerate(self.guest):
            specs[f"hw:numa_cpus.{cell}"] = listed(range(vcpus, vcpus + shared + own))
            specs[f"hw:numa_mem.{cell}"] = VCPU_MB * (shared + own)
            dedicated += range(vcpus + shared, vcpus + shared + own)
            vcpus += shared + own
        if len(dedicated) < vcpus:
            specs |= {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": listed(dedicated)}
        return {"vcpus": vcpus, "memory_mb": VCPU_MB * vcpus, "extra_specs": specs}


def _alike(cells: int, guest_cells: int) -> Case:
    """Equal guest cells, and room for all of them but one."""
    machine = Machine(cells, 8, use=(*[EMPTY] * (guest_cells - 1), HALF))
    return Case(
        f"{cells}×16, {guest_cells} cells, no fit", machine, ((0, 12),) * guest_cells, False
    )


def _unlike(cells: int, guest_cells: int) -> Case:
    """Small and large guest cells, and room for all of the large ones but one."""
    room = guest_cells // 2
    machine = Machine(cells, 8, use=(*[EMPTY] * room, HALF))
    guest = (*[(0, 4)] * (guest_cells - room - 1), *[(0, 12)] * (room + 1))
    return Case(f"{cells}×16, {guest_cells} unlike cells, no fit", machine, guest, False)


MIXED = ((2, 2),)
SHAPES = ((8, 8), (12, 12), (16, 8), (24, 24))
MISSES = tuple(make(*shape) for make in (_alike, _unlike) for shape in SHAPES)
LARGEST_MISS = tuple(case for case in MISSES if len(case.guest) == 24)

CASES = (
    # 2×32 is two cells of 32 threads each.
    Case("2×32 empty, 4 vCPUs mixed", Machine(2, 16, 2), MIXED),
    Case("2×32 half full, 4 vCPUs mixed", Machine(2, 16, 2, (HALF,)), MIXED),
    Case("2×32 half full, 2 cells of 4", Machine(2, 16, 2, (HALF,)), ((0, 4),) * 2),
    Case("8×16 half full, 4 vCPUs mixed", Machine(8, 8, 1, (HALF,)), MIXED),
    Case("8×16 empty, 4 cells of 4", Machine(8, 8), ((0, 4),) * 4),
    Case("8×16 empty, 8 cells of 8", Machine(8, 8), ((0, 8),) * 8),
    Case("2×192 half full, 8 dedicated", Machine(2, 96, 0, (HALF,)), ((0, 8),)),
    Case("2×192 half full, 8 in one L3", Machine(2, 96, 0, (HALF,), l3=8), ((0, 8),)),
    Case("2×192 half full, 64 in few L3", Machine(2, 96, 0, (HALF,), l3=8), ((0, 64),)),
    Case("2×32 full, no fit", Machine(2, 16, 2, (FULL,)), MIXED, fits=False),
    *MISSES,
)
"""Hosts and guests of all sizes, and guests that fit nowhere: these take Nova longest."""
