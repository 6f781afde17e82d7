"""This machine as a Host, read from sysfs: no libvirt is needed on it.

The kernel's ``Documentation/ABI/stable/sysfs-devices-system-cpu`` and ``-node`` say what the files
hold. CPU numbers are host CPUs, and only those that are online count. Memory is in MiB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mdsvc.cpuset import EMPTY, MAX_CPU, CpuSet
from mdsvc.discovery import Cores, Discovered, Machine, arch_of, cores_of, discovered
from mdsvc.errors import BadInput
from mdsvc.topology import HostCell, PagePool

_MAX_CELL = 65535


class Kernel(NamedTuple):
    """Where a kernel tells of its machine. ``machine`` is what `uname -m` says; ``meminfo`` is
    read only where the kernel knows no nodes.
    """

    sys: Path = Path("/sys")
    meminfo: Path = Path("/proc/meminfo")
    machine: str = os.uname().machine


THIS = Kernel()


def local_host(
    name: str,
    shared: CpuSet | None = None,
    dedicated: CpuSet | None = None,
    kernel: Kernel = THIS,
) -> Discovered:
    """The host that this program runs on, each NUMA node one cell.

    ``shared`` and ``dedicated`` become ``cpu_shared_set`` and ``cpu_dedicated_set``; without
    either every CPU is shared, as in Nova. Raises BadInput.
    """
    arch = arch_of(kernel.machine, "uname -m")
    system, hugepages = kernel.sys / "devices/system", kernel.sys / "kernel/mm/hugepages"
    machine = _machine(system, kernel.meminfo, hugepages)._replace(arch=arch)
    return discovered(name, machine, shared, dedicated)


class _Node(NamedTuple):
    """A NUMA node, and the files that tell of it."""

    number: int
    cpus: CpuSet
    meminfo: Path
    hugepages: Path


def _machine(system: Path, meminfo: Path, hugepages: Path) -> Machine:
    online = _cpus(system / "cpu/online")
    nodes = _nodes(system, online) or [_Node(0, online, meminfo, hugepages)]
    threads = {cpu: system / f"cpu/cpu{cpu}/topology" for node in nodes for cpu in node.cpus}
    named = {cpu: _named(topology) for cpu, topology in threads.items()}
    cores = cores_of(named, [node.cpus for node in nodes], online)
    cells = [
        _cell(node, cores_of_node, [threads[cpu] for cpu in node.cpus])
        for node, cores_of_node in zip(nodes, cores, strict=True)
    ]
    return Machine(cells, _l3(threads.values()), _present(system) - online)


def _nodes(system: Path, online: CpuSet) -> list[_Node]:
    """A node may have memory and no CPUs, or CPUs and no memory. None where the kernel has no
    NUMA.
    """
    if not (system / "node/online").exists():
        return []
    nodes = {number: system / f"node/node{number}" for number in _cpus(system / "node/online")}
    return [
        _Node(number, _cpus(node / "cpulist") & online, node / "meminfo", node / "hugepages")
        for number, node in nodes.items()
    ]


def _present(system: Path) -> CpuSet:
    """The CPUs that are there, online or not."""
    path = system / "cpu/present"
    return _cpus(path) if path.exists() else EMPTY


def _cell(node: _Node, cores: Cores, topologies: Sequence[Path]) -> HostCell:
    """All memory that is not in huge pages is in base pages."""
    page_kb = os.sysconf("SC_PAGE_SIZE") // 1024
    memory_kb, huge = _memory_kb(node.meminfo), _huge_pages(node.hugepages)
    small_kb = memory_kb - sum(pool.size_kb * pool.total for pool in huge)
    try:
        return HostCell(
            id=node.number,
            socket=_socket(topologies),
            memory_mb=memory_kb // 1024,
            cpus=node.cpus,
            siblings=cores.siblings,
            split=cores.split,
            pages=(PagePool(size_kb=page_kb, total=max(0, small_kb // page_kb)), *huge),
        )
    except ValueError as error:
        raise BadInput(f"node {node.number}: {error}") from None


def _named(topology: Path) -> CpuSet:
    """The threads that a CPU names as its core's."""
    path = topology / "thread_siblings_list"
    return _cpus(path) if path.exists() else EMPTY


def _l3(topologies: Iterable[Path]) -> list[CpuSet]:
    """The CPUs that share each L3 cache; none where the kernel tells of no caches."""
    levels = (path for at in topologies for path in at.parent.glob("cache/index*/level"))
    return [_cpus(path.parent / "shared_cpu_list") for path in levels if _read(path) == "3"]


def _socket(topologies: Iterable[Path]) -> int | None:
    """The socket of a cell; None where the kernel tells none, no sensible one, or several."""
    paths = [topology / "physical_package_id" for topology in topologies]
    sockets = {_read(path) if path.exists() else "" for path in paths}
    only = sockets.pop() if len(sockets) == 1 else ""
    return int(only) if re.fullmatch("[0-9]{1,5}", only) and int(only) <= _MAX_CELL else None


def _memory_kb(meminfo: Path) -> int:
    """``MemTotal``, with ``Node N`` in front in a node's file."""
    total = re.search(r"(?m)^(?:Node [0-9]+ )?MemTotal: +([0-9]{1,15}) kB$", _read(meminfo))
    if not total:
        raise BadInput(f"{meminfo}: expected a line like `MemTotal: 16384 kB`")
    return int(total[1])


def _huge_pages(directory: Path) -> tuple[PagePool, ...]:
    """The pools of huge pages, the smallest first; none where the kernel has none."""
    sizes = (re.fullmatch("hugepages-([0-9]+)kB", path.name) for path in directory.glob("*"))
    pools = (
        PagePool(size_kb=int(size[1]), total=_count(directory / size[0] / "nr_hugepages"))
        for size in sizes
        if size
    )
    return tuple(sorted(pools, key=lambda pool: pool.size_kb))


# ---- files ----


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise BadInput(f"{path}: expected to read it: {error.strerror}") from None


def _cpus(path: Path) -> CpuSet:
    try:
        return CpuSet.parse(_read(path))
    except ValueError as error:
        raise BadInput(f"{path}: expected a list of 0 to {MAX_CPU}: {error}") from None


def _count(path: Path) -> int:
    text = _read(path)
    if not re.fullmatch("[0-9]{1,12}", text):
        raise BadInput(f"{path}: expected a whole number, got {text[:60]!r}")
    return int(text)
