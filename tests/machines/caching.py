"""Which CPUs share a cache: a rule for each kind of sharing."""

from __future__ import annotations

from collections.abc import Iterable

from mdsvc.cpuset import CpuSet
from tests.machines.facts import Cache, Cell


def by_cell(cells: Iterable[Cell], size_kb: int) -> tuple[Cache, ...]:
    """An L3 cache for each cell."""
    return tuple(Cache(3, cell.numbers, size_kb) for cell in cells if cell.cpus)


def by_die(cells: Iterable[Cell], size_kb: int) -> tuple[Cache, ...]:
    """An L3 cache for each die of each socket."""
    dies: dict[tuple[int, int | None], list[int]] = {}
    for cell in cells:
        for cpu in cell.cpus:
            dies.setdefault((cpu.socket, cpu.die), []).append(cpu.number)
    return tuple(Cache(3, CpuSet.of(cpus), size_kb) for cpus in dies.values())


def by_core(cells: Iterable[Cell], l1_kb: int, l2_kb: int) -> tuple[Cache, ...]:
    """For each core two L1 caches, for data and for instructions, and one L2 cache."""
    cores = dict.fromkeys(cpu.siblings for cell in cells for cpu in cell.cpus)
    return tuple(
        cache
        for core in cores
        for cache in (
            Cache(1, core, l1_kb, "data"),
            Cache(1, core, l1_kb, "instruction"),
            Cache(2, core, l2_kb),
        )
    )
