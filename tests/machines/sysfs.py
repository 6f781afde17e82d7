"""A machine as its kernel tells of it: the files below /sys, and /proc/meminfo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdsvc.cpuset import CpuSet
from tests.machines.facts import Cell, Cpu, Machine

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_KINDS = {"data": "Data", "instruction": "Instruction", "unified": "Unified"}

File = tuple[str, object]
"""Where it is below the root, and what is in it."""


def plant(machine: Machine, root: Path) -> None:
    """Make the machine's files below a folder that stands for ``/``."""
    for path, content in files(machine):
        put(root, path, content)


def put(root: Path, path: str, content: object) -> None:
    """Make one file, or make it anew."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


def files(machine: Machine) -> Iterator[File]:
    yield f"{_CPU}/possible", machine.present
    yield f"{_CPU}/present", machine.present
    yield f"{_CPU}/online", machine.online
    yield from ((f"{_CPU}/cpu{number}/online", 0) for number in machine.offline)
    for cpu in machine.running():
        yield from _topology(cpu, machine)
        yield from _caches(cpu, machine)
    yield from _memory(machine)
    if machine.numa:
        yield from _nodes(machine)


# ---- CPUs ----


def _topology(cpu: Cpu, machine: Machine) -> Iterator[File]:
    at = f"{_CPU}/cpu{cpu.number}/topology"
    yield f"{at}/physical_package_id", cpu.socket
    yield f"{at}/core_id", cpu.core
    yield f"{at}/thread_siblings_list", cpu.siblings - machine.offline
    if cpu.die is not None:
        yield f"{at}/die_id", cpu.die


def _caches(cpu: Cpu, machine: Machine) -> Iterator[File]:
    mine = [cache for cache in machine.caches if cpu.number in cache.cpus]
    for index, cache in enumerate(mine):
        at = f"{_CPU}/cpu{cpu.number}/cache/index{index}"
        yield f"{at}/level", cache.level
        yield f"{at}/type", _KINDS[cache.kind]
        yield f"{at}/size", f"{cache.size_kb}K"
        yield f"{at}/shared_cpu_list", cache.cpus - machine.offline


# ---- memory ----


def _memory(machine: Machine) -> Iterator[File]:
    """That of the whole machine."""
    yield "proc/meminfo", _total(machine.cells)
    pools: Counter[int] = Counter()
    for cell in machine.cells:
        pools.update(dict(cell.huge))
    yield from _pools("sys/kernel/mm", pools.items())


def _nodes(machine: Machine) -> Iterator[File]:
    yield f"{_NODE}/online", CpuSet.of(cell.id for cell in machine.cells)
    for at, cell in enumerate(machine.cells):
        node = f"{_NODE}/node{cell.id}"
        yield f"{node}/cpulist", cell.numbers - machine.offline
        yield f"{node}/meminfo", f"Node {cell.id} {_total([cell])}"
        yield from _pools(node, cell.huge)
        if machine.distances:
            yield f"{node}/distance", " ".join(map(str, machine.distances[at]))


def _total(cells: Iterable[Cell]) -> str:
    return f"MemTotal:       {sum(cell.memory_kb for cell in cells)} kB"


def _pools(at: str, pools: Iterable[tuple[int, int]]) -> Iterator[File]:
    for size_kb, count in pools:
        yield f"{at}/hugepages/hugepages-{size_kb}kB/nr_hugepages", count
        yield f"{at}/hugepages/hugepages-{size_kb}kB/free_hugepages", count
