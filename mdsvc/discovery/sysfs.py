"""This machine as a Host, read from sysfs: no libvirt is needed on it.

The kernel's ``Documentation/ABI/stable/sysfs-devices-system-cpu`` and ``-node`` say what the files
hold. CPU numbers are host CPUs, and only those that are online count. Memory is in MiB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mdsvc.cpuset import EMPTY, MAX_CPU, CpuSet
from mdsvc.discovery import found_arch, found_host, parts_of
from mdsvc.errors import BadInput
from mdsvc.topology import Host, HostCell, PagePool

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
) -> Host:
    """The host that this program runs on, each NUMA node one cell.

    ``shared`` and ``dedicated`` become ``cpu_shared_set`` and ``cpu_dedicated_set``; without
    either every CPU is shared, as in Nova. Raises BadInput.
    """
    arch = found_arch(kernel.machine, "uname -m")
    cells = _cells(
        kernel.sys / "devices/system", kernel.meminfo, kernel.sys / "kernel/mm/hugepages"
    )
    return found_host(name, arch, cells, shared, dedicated)


def _cells(system: Path, meminfo: Path, hugepages: Path) -> list[HostCell]:
    """A node may have memory and no CPUs, or CPUs and no memory. No nodes: all is cell 0."""
    online = _cpus(system / "cpu/online")
    if not (system / "node/online").exists():
        return [_cell(0, _threads(system, online), _memory_kb(meminfo), _huge_pages(hugepages))]
    nodes = {number: system / f"node/node{number}" for number in _cpus(system / "node/online")}
    return [
        _cell(
            number,
            _threads(system, _cpus(node / "cpulist") & online),
            _memory_kb(node / "meminfo"),
            _huge_pages(node / "hugepages"),
        )
        for number, node in nodes.items()
    ]


def _threads(system: Path, cpus: CpuSet) -> dict[int, Path]:
    """Where the kernel tells how each CPU is connected."""
    return {cpu: system / f"cpu/cpu{cpu}/topology" for cpu in cpus}


def _cell(
    number: int, threads: dict[int, Path], memory_kb: int, huge: tuple[PagePool, ...]
) -> HostCell:
    """All memory that is not in huge pages is in base pages."""
    page_kb = os.sysconf("SC_PAGE_SIZE") // 1024
    small_kb = memory_kb - sum(pool.size_kb * pool.total for pool in huge)
    cpus = CpuSet.of(threads)
    try:
        return HostCell(
            id=number,
            socket=_socket(threads.values()),
            memory_mb=memory_kb // 1024,
            cpus=cpus,
            siblings=_cores(threads, cpus),
            l3=parts_of(_l3(threads.values()), cpus),
            pages=(PagePool(size_kb=page_kb, total=max(0, small_kb // page_kb)), *huge),
        )
    except ValueError as error:
        raise BadInput(f"node {number}: {error}") from None


def _cores(threads: dict[int, Path], cpus: CpuSet) -> tuple[CpuSet, ...]:
    """The groups of threads, each once, without the threads that are offline."""
    cores: dict[CpuSet, None] = {}
    for cpu, topology in threads.items():
        path = topology / "thread_siblings_list"
        named = _cpus(path) if path.exists() else EMPTY
        cores[(named | CpuSet.of([cpu])) & cpus] = None
    return tuple(cores)


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
    found = re.search(r"(?m)^(?:Node [0-9]+ )?MemTotal: +([0-9]{1,15}) kB$", _read(meminfo))
    if not found:
        raise BadInput(f"{meminfo}: expected a line like `MemTotal: 16384 kB`")
    return int(found[1])


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
