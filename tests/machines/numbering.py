"""How the cells, cores and threads of a machine are numbered: a rule for each kind of number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product, repeat
from typing import NamedTuple

from mdsvc.cpuset import CpuSet
from tests.machines.facts import Cell, Cpu, Distances


class Place(NamedTuple):
    """Where a CPU is: its cell, its core in there and its thread in that one, each from 0."""

    cell: int
    core: int
    thread: int


Rule = Callable[[Place], int]

# ---- the numbers of CPUs ----


def strides(*, cell: int = 0, core: int, thread: int = 0, first: int = 0) -> Rule:
    """From each cell, core and thread to the next so many numbers."""
    return lambda at: first + at.cell * cell + at.core * core + at.thread * thread


def threads_last(cells: int, cores: int) -> Rule:
    """First a thread of every core, cell by cell; then the next threads in the same order."""
    return strides(cell=cores, core=1, thread=cells * cores)


def cells_interleaved(cells: int, cores: int) -> Rule:
    """The cells take turns, and the other threads come last."""
    return strides(cell=1, core=cells, thread=cells * cores)


def threads_adjacent(cores: int, threads: int) -> Rule:
    """Core by core, its threads side by side."""
    return strides(cell=cores * threads, core=threads, thread=1)


# ---- cells ----


def cells_of(
    ids: Sequence[int],
    cores: int,
    threads: int,
    number: Rule,
    *,
    memory_kb: int | Sequence[int] = 0,
    huge: tuple[tuple[int, int], ...] = (),
    socket: Rule | None = None,
    core: Rule = lambda at: at.core,
    die: Rule | None = None,
) -> tuple[Cell, ...]:
    """Cells of one shape. Without a rule, each is a socket that has the cell's id."""
    memory = repeat(memory_kb, len(ids)) if isinstance(memory_kb, int) else memory_kb
    socket = socket or (lambda at: ids[at.cell])

    def cpu(at: Place) -> Cpu:
        siblings = CpuSet.of(number(at._replace(thread=thread)) for thread in range(threads))
        return Cpu(number(at), siblings, socket(at), core(at), die(at) if die else None)

    def cpus(cell: int) -> tuple[Cpu, ...]:
        places = (Place(cell, *at) for at in product(range(cores), range(threads)))
        return tuple(sorted(map(cpu, places), key=lambda cpu: cpu.number))

    return tuple(
        Cell(cell, cpus(at), memory, huge)
        for at, (cell, memory) in enumerate(zip(ids, memory, strict=True))
    )


def some(cpus: Sequence[Cpu], numbers: str) -> tuple[Cpu, ...]:
    """Those CPUs, each with its siblings as they are: the way to cells that follow no rule."""
    wanted = CpuSet.parse(numbers)
    return tuple(cpu for cpu in cpus if cpu.number in wanted)


def apart(cells: int, distance: int) -> Distances:
    """Every cell equally far from every other."""
    return tuple(tuple(10 if a == b else distance for b in range(cells)) for a in range(cells))
