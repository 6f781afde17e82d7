"""What is to be known of a machine so that libvirt and its kernel can be made to tell of it.

CPU numbers are host CPUs. Memory, pages and caches are in KiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mdsvc.cpuset import EMPTY, CpuSet, union

MIB, GIB = 2**10, 2**20
"""In KiB."""

NO_HUGE = ((2 * MIB, 0), (GIB, 0))
"""The huge pages that x86 knows, and none of them set aside."""

Distances = tuple[tuple[int, ...], ...]
"""For each cell how far it is to each: 10 to its own memory."""


@dataclass(frozen=True)
class Cpu:
    """A hardware thread. ``siblings`` are the threads of its core, itself among them.

    ``die`` is None where the kernel is too old to tell.
    """

    number: int
    siblings: CpuSet
    socket: int
    core: int
    die: int | None = None


@dataclass(frozen=True)
class Cell:
    """A NUMA node. ``huge`` has, for each size of huge pages, how many there are."""

    id: int
    cpus: tuple[Cpu, ...] = ()
    memory_kb: int = 0
    huge: tuple[tuple[int, int], ...] = ()

    @property
    def numbers(self) -> CpuSet:
        return CpuSet.of(cpu.number for cpu in self.cpus)

    @property
    def base_kb(self) -> int:
        """The memory that is in base pages: all that is not in huge ones."""
        return self.memory_kb - sum(size_kb * count for size_kb, count in self.huge)


@dataclass(frozen=True)
class Cache:
    """A cache, and the CPUs that share it."""

    level: int
    cpus: CpuSet
    size_kb: int
    kind: Literal["data", "instruction", "unified"] = "unified"


@dataclass(frozen=True)
class Machine:
    """A machine, its cells in the order of their ids.

    ``offline`` may name CPUs that are in no cell. ``numa``: whether the kernel knows of nodes;
    without, there is one cell 0. ``untold`` is what the libvirt that runs there leaves out.
    """

    cells: tuple[Cell, ...]
    arch: str = "x86_64"
    page_kb: int = 4
    caches: tuple[Cache, ...] = ()
    offline: CpuSet = EMPTY
    distances: Distances = ()
    numa: bool = True
    untold: frozenset[Literal["memory", "pages"]] = frozenset()

    @property
    def present(self) -> CpuSet:
        return union(cell.numbers for cell in self.cells) | self.offline

    @property
    def online(self) -> CpuSet:
        return self.present - self.offline

    def running(self) -> Iterator[Cpu]:
        """The CPUs that are online, each once, also where cells lie within one another."""
        cpus = {cpu.number: cpu for cell in self.cells for cpu in cell.cpus}
        return (cpus[number] for number in self.online)
