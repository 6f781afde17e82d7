"""Hosts: NUMA cells with CPUs, thread siblings, memory and page pools, and what is used of them.

CPU numbers here are host CPUs (pCPUs) throughout. Memory is in MiB, page sizes in KiB.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from math import floor
from typing import Annotated, Any, Literal

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.forms import Form, from_builtins, from_json
from mdsvc.names import HostName

MIXED_SERVICE_VERSION = 2
"""The first service version of a host that knows guests with the mixed policy (R17)."""

MAX_CELLS = 1024
"""The most NUMA nodes that any Linux build knows (CONFIG_NODES_SHIFT of at most 10)."""

MAX_L3 = 256
"""More L3 domains in one NUMA cell than any machine has; it bounds the search for the fewest."""

MAX_BASE_KB = 64
"""The largest page of any architecture that memory is in by itself (arm64, ppc64)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
CellId = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Packing = Literal["spread", "pack"]
Arch = Literal[
    "aarch64",
    "armv7l",
    "i686",
    "ia64",
    "loongarch64",
    "mips64",
    "mips64el",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
    "x86_64",
]
"""The architectures that KVM has known, as libvirt and `uname -m` call them."""


class PagePool(Form, frozen=True):
    """The pages of one size in one cell."""

    size_kb: Annotated[int, msgspec.Meta(ge=1, le=2**40)]
    total: Count
    used: Count = 0


class MemoryPool(msgspec.Struct, frozen=True, gc=False):
    """A part of a cell's memory, in KiB: its base pool, or its huge pages of one size.

    A guest cell's memory comes out of one pool, and pools do not share. ``size_kb`` is the size of
    the pages; None for a base pool that the cell does not list.
    """

    size_kb: int | None
    capacity_kb: int
    used_kb: int
    is_base: bool = False

    def limit_kb(self, ratio: float, overcommits: bool = False) -> int:
        """How much of it guests may have together (R15): those without dedicated vCPUs that ask
        for no page size overcommit the base pool by the ratio; all others overcommit nothing, and
        have less where the ratio is below 1.
        """
        if ratio < 1 or (overcommits and self.is_base):
            return floor(self.capacity_kb * ratio)
        return self.capacity_kb


class HostCell(Form, frozen=True, dict=True):
    """One NUMA cell of a host, and what placed guests use of it.

    ``siblings`` are the cores: groups of hardware threads. ``split`` are the CPUs whose core
    reaches into another cell, as virtual machines cut them: single threads here, and none that is
    a guest's alone. ``l3`` are the CPUs that share one L3 cache; none where that is not known.
    ``pinned`` are the pCPUs given to guests as dedicated, or kept from everybody by their thread
    policy; ``shared_used`` counts the shared vCPUs that float over the cell.
    """

    id: CellId
    cpus: CpuSet
    memory_mb: Count
    socket: CellId | None = None
    siblings: tuple[CpuSet, ...] = ()
    split: CpuSet = msgspec.field(default_factory=CpuSet)
    l3: Annotated[tuple[CpuSet, ...], msgspec.Meta(max_length=MAX_L3)] = ()
    pages: tuple[PagePool, ...] = ()
    pinned: CpuSet = msgspec.field(default_factory=CpuSet)
    shared_used: Count = 0
    memory_used_mb: Count = 0

    def __post_init__(self) -> None:
        if self.socket is None:
            msgspec.structs.force_setattr(self, "socket", self.id)
        _check_groups(self.siblings, self.cpus, "siblings")
        if self.split:
            _check_split(self)
        if self.l3:
            _check_groups(self.l3, self.cpus, "l3")
            for cpus, cores in zip(self.l3, self.l3_cores, strict=False):
                if sum(cores) != cpus.mask:
                    raise ValueError(f"l3: expected whole cores, but {cpus} has a part of one")
        sizes = [pool.size_kb for pool in self.pages]
        if len(set(sizes)) != len(sizes):
            raise ValueError("pages: expected one pool for each page size")
        if not self.pinned <= self.cpus:
            raise ValueError(f"pinned: CPUs {self.pinned - self.cpus} are not of this cell")

    @property
    def pools(self) -> tuple[MemoryPool, ...]:
        """The base pool, then the huge pages by their size. All memory is in one of them.

        The base pool is the smallest of ``pages`` if that is of at most 64 KiB, but no more than
        ``memory_mb`` leaves beside the huge pages; where these alone exceed ``memory_mb``, it was
        given without them. Where none such is listed, it is what ``memory_mb`` leaves. It has in
        use its own ``used``, or what ``memory_used_mb`` has beside the huge pages in use: the
        greater, since guests that ask for no page size are counted in the latter only.
        """
        return _pools(self.pages, self.memory_mb, self.memory_used_mb)

    @property
    def base(self) -> MemoryPool:
        """The pool for guests that ask for no page size."""
        return self.pools[0]

    def pool(self, pagesize_kb: int | None) -> MemoryPool | None:
        """The pool that holds a placed guest cell with this ``pagesize_kb``; None where the cell
        has none of that size.
        """
        if pagesize_kb is None:
            return self.base
        return next((pool for pool in self.pools if pool.size_kb == pagesize_kb), None)

    @cached_property
    def cores(self) -> tuple[CpuSet, ...]:
        """Every core of the cell, by lowest CPU; a CPU named in no group is a core of its own."""
        return tuple(map(CpuSet, self.core_masks))

    @cached_property
    def core_masks(self) -> tuple[int, ...]:
        """The cores as bit masks, in the same order."""
        return _core_masks(tuple([group.mask for group in self.siblings]), self.cpus.mask)

    @cached_property
    def l3_cores(self) -> tuple[tuple[int, ...], ...]:
        """The cores of each of ``l3``, as bit masks; those that are in none come last, as one
        more. None where the domains are not known.
        """
        return _domain_masks(tuple([cpus.mask for cpus in self.l3]), self.core_masks)


@lru_cache(maxsize=4096)
def _pools(
    pages: tuple[PagePool, ...], memory_mb: int, memory_used_mb: int
) -> tuple[MemoryPool, ...]:
    """Cells that are alike in this share the answer."""
    by_size = sorted(pages, key=_size)
    listed = by_size.pop(0) if by_size and by_size[0].size_kb <= MAX_BASE_KB else None
    huge = [MemoryPool(p.size_kb, p.total * p.size_kb, p.used * p.size_kb) for p in by_size]
    memory_kb = memory_mb * 1024
    beside_kb = memory_kb - sum([pool.capacity_kb for pool in huge])
    used_kb = max(0, memory_used_mb * 1024 - sum([pool.used_kb for pool in huge]))
    if listed is None:
        return MemoryPool(None, max(0, beside_kb), used_kb, is_base=True), *huge
    size_kb = listed.size_kb
    capacity_kb = min(listed.total * size_kb, beside_kb if beside_kb >= 0 else memory_kb)
    return MemoryPool(size_kb, capacity_kb, max(used_kb, listed.used * size_kb), True), *huge


def _size(pool: PagePool) -> int:
    return pool.size_kb


@lru_cache(maxsize=1024)
def _core_masks(siblings: tuple[int, ...], cpus: int) -> tuple[int, ...]:
    """Hosts of one model share the answer, and so does a host before and after a placement."""
    cores = [*siblings, *(1 << cpu for cpu in CpuSet(cpus & ~sum(siblings)))]
    return tuple(sorted(cores, key=_lowest))


@lru_cache(maxsize=1024)
def _domain_masks(l3: tuple[int, ...], cores: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    by_lowest = {_lowest(core): core for core in cores}
    lowest = sum(by_lowest)
    domains = [cpus & lowest for cpus in l3]
    if domains and lowest != sum(domains):
        domains.append(lowest & ~sum(domains))
    return tuple(tuple(by_lowest[1 << cpu] for cpu in CpuSet(domain)) for domain in domains)


def _lowest(mask: int) -> int:
    return mask & -mask


class Host(Form, frozen=True, dict=True):
    """One hypervisor. A ``draining`` one takes no new guests. ``floating_*`` is the use of guests
    that have no NUMA topology.
    """

    name: HostName
    cells: Annotated[tuple[HostCell, ...], msgspec.Meta(max_length=MAX_CELLS)]
    cpu_shared_set: CpuSet = msgspec.field(default_factory=CpuSet)
    cpu_dedicated_set: CpuSet = msgspec.field(default_factory=CpuSet)
    service_version: Annotated[int, msgspec.Meta(ge=1, le=2**31)] = MIXED_SERVICE_VERSION
    cpu_allocation_ratio: Ratio = 16.0
    ram_allocation_ratio: Ratio = 1.0
    packing: Packing = "spread"
    arch: Arch = "x86_64"
    draining: bool = False
    floating_vcpus: Count = 0
    floating_memory_mb: Count = 0

    def __post_init__(self) -> None:
        if not self.cells:
            raise ValueError("cells: expected at least one")
        ids = [cell.id for cell in self.cells]
        if len(set(ids)) != len(ids):
            raise ValueError("cells: expected each id once")
        check_disjoint([cell.cpus for cell in self.cells], "cells: cpus")
        check_disjoint(
            [self.cpu_shared_set, self.cpu_dedicated_set], "cpu_shared_set and cpu_dedicated_set"
        )
        for field in ("cpu_shared_set", "cpu_dedicated_set"):
            missing = getattr(self, field) - self.cpus
            if missing:
                raise ValueError(f"{field}: CPUs {missing} are not of this host")
        for cell in self.cells:
            stray = cell.pinned & self.cpu_shared_set
            if stray:
                raise ValueError(f"cells: pinned CPUs {stray} are in cpu_shared_set")

    @cached_property
    def cpus(self) -> CpuSet:
        """All CPUs of the host."""
        return union(cell.cpus for cell in self.cells)

    @cached_property
    def by_id(self) -> dict[int, HostCell]:
        """The cells by their ids."""
        return {cell.id: cell for cell in self.cells}

    def shared(self, cell: HostCell) -> CpuSet:
        """The pCPUs of a cell over which shared vCPUs float."""
        return cell.cpus & self.cpu_shared_set

    def dedicated(self, cell: HostCell) -> CpuSet:
        """The pCPUs of a cell that dedicated vCPUs can be pinned to, free or not."""
        return cell.cpus & self.cpu_dedicated_set

    def free(self, cell: HostCell) -> CpuSet:
        """The pCPUs of a cell that are free to be dedicated."""
        return self.dedicated(cell) - cell.pinned

    def limit_kb(self, pool: MemoryPool, overcommits: bool = False) -> int:
        """How much of one of its pools guests may have together, by its ratio."""
        return pool.limit_kb(self.ram_allocation_ratio, overcommits)

    @property
    def memory_mb(self) -> int:
        """What all pools of all cells hold, in MiB."""
        return sum(pool.capacity_kb for cell in self.cells for pool in cell.pools) // 1024

    def base_left_kb(self, overcommits: bool = False) -> int:
        """What the base pools of all cells have left together, beside the guests that float over
        them; negative where those have more than there is.
        """
        left_kb = sum(
            max(0, self.limit_kb(cell.base, overcommits) - cell.base.used_kb) for cell in self.cells
        )
        return left_kb - self.floating_memory_mb * 1024

    @property
    def knows_mixed(self) -> bool:
        """Whether the host's service is recent enough for mixed guests (R17)."""
        return self.service_version >= MIXED_SERVICE_VERSION

    @property
    def gives_nodes(self) -> bool:
        """Whether guests can see NUMA nodes there: QEMU knows none of them on s390x."""
        return self.arch != "s390x"

    def without_use(self) -> Host:
        """The same host as it is when no guest is placed on it."""
        return msgspec.structs.replace(
            self,
            cells=tuple(_without_use(cell) for cell in self.cells),
            floating_vcpus=0,
            floating_memory_mb=0,
        )


_USE = {"floating_vcpus", "floating_memory_mb"}
_USE |= {"pinned", "shared_used", "memory_used_mb", "used"}  # of cells, and of their pages


STATE = frozenset({"draining"})
"""Fields that say what is done with a host, and not what it is."""


def described(text: bytes | str) -> tuple[Host, frozenset[str]]:
    """A host in JSON, without the use that it is said to be in: that may contradict what the host
    is to become, and is not taken from there. Beside it, what of its state it does not say.

    Raises BadInput.
    """
    form = from_json(text, dict[str, Any])
    return from_builtins(_without(_USE, form), Host), STATE - form.keys()


def _without(keys: set[str], data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without(keys, value) for key, value in data.items() if key not in keys}
    return [_without(keys, item) for item in data] if isinstance(data, list) else data


def _without_use(cell: HostCell) -> HostCell:
    pages = tuple(msgspec.structs.replace(pool, used=0) for pool in cell.pages)
    return msgspec.structs.replace(cell, pinned=EMPTY, shared_used=0, memory_used_mb=0, pages=pages)


def _check_groups(groups: tuple[CpuSet, ...], cpus: CpuSet, what: str) -> None:
    """Raises ValueError where they are no groups of these CPUs."""
    check_disjoint(groups, what)
    for group in groups:
        if not group.mask:
            raise ValueError(f"{what}: expected at least one CPU in each group")
        if group.mask & ~cpus.mask:
            raise ValueError(f"{what}: CPUs {group - cpus} are not of this cell")


def _check_split(cell: HostCell) -> None:
    """Raises ValueError where they are no CPUs of the cell, or have siblings in it."""
    if not cell.split <= cell.cpus:
        raise ValueError(f"split: CPUs {cell.split - cell.cpus} are not of this cell")
    for core in cell.siblings:
        if len(core) > 1 and core & cell.split:
            expected = "expected CPUs that are single threads in this cell"
            raise ValueError(f"split: {expected}, but siblings has {core}")


def check_disjoint(sets: Iterable[CpuSet], what: str) -> None:
    """Raises ValueError naming the CPUs that are in two of the sets."""
    seen = 0
    for cpus in sets:
        if cpus.mask & seen:
            raise ValueError(f"{what}: expected no CPU twice, but {cpus & CpuSet(seen)} is")
        seen |= cpus.mask
