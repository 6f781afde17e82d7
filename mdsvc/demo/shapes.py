"""Hosts of the shapes that one meets, for a fleet that is worth looking at."""

from __future__ import annotations

from typing import Any, NamedTuple

from mdsvc.cpuset import CpuSet, union
from mdsvc.topology import Arch, Host, HostCell, PagePool

_GB_KB = 1024**2


class Shape(NamedTuple):
    """NUMA cells of so many cores, which are numbered cell by cell; second threads after all first
    ones, as Linux numbers them. ``l3`` is how many cores share a cache; the first ``shared`` cores
    of each cell are for shared vCPUs.
    """

    cells: int
    cores: int
    threads: int
    cell_gb: int
    shared: int
    sockets: int = 2
    l3: int = 0
    base_kb: int = 4
    huge_kb: int = 2048
    arch: Arch = "x86_64"

    def host(self, name: str, **fields: Any) -> Host:
        """A host of this shape."""
        cells = [self._cores(cell) for cell in range(self.cells)]
        shared = union(core for cores in cells for core in cores[: self.shared])
        everything = CpuSet.first(self.cells * self.cores * self.threads)
        return Host(
            name=name,
            cells=tuple(self._cell(number, cores) for number, cores in enumerate(cells)),
            cpu_shared_set=shared,
            cpu_dedicated_set=everything - shared,
            cpu_allocation_ratio=4.0,
            arch=self.arch,
            **fields,
        )

    def _cores(self, cell: int) -> list[CpuSet]:
        every = self.cells * self.cores
        firsts = range(cell * self.cores, (cell + 1) * self.cores)
        return [CpuSet.of(range(first, self.threads * every, every)) for first in firsts]

    def _cell(self, number: int, cores: list[CpuSet]) -> HostCell:
        starts = range(0, self.cores, self.l3) if self.l3 else ()
        kb = self.cell_gb * _GB_KB
        return HostCell(
            id=number,
            socket=number * self.sockets // self.cells,
            cpus=union(cores),
            memory_mb=kb // 1024,
            siblings=tuple(cores) if self.threads > 1 else (),
            l3=tuple(union(cores[start : start + self.l3]) for start in starts),
            pages=(
                PagePool(size_kb=self.base_kb, total=kb * 3 // 4 // self.base_kb),
                PagePool(size_kb=self.huge_kb, total=kb // 4 // self.huge_kb),
            ),
        )


EPYC = Shape(cells=4, cores=16, threads=2, cell_gb=128, shared=2, l3=4)
"""Two sockets as two NUMA cells each, four cores to an L3 cache."""

XEON = Shape(cells=2, cores=20, threads=2, cell_gb=192, shared=2)
NO_SMT = Shape(cells=2, cores=16, threads=1, cell_gb=96, shared=2)
"""Threads are switched off, as for low latency."""

ARM = Shape(
    cells=1, cores=64, threads=1, cell_gb=256, shared=4, sockets=1,
    base_kb=64, huge_kb=512 * 1024, arch="aarch64",
)  # fmt: skip
