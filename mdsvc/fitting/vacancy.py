"""What is free in one host cell, and which of its pCPUs a guest cell would take.

``cores`` says what is free of some cores, ``picking`` which of their pCPUs are taken, and
``domains`` which L3 domains of a cell these are in. Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import floor
from operator import attrgetter

import msgspec

from mdsvc.fitting import picking
from mdsvc.fitting.cores import Cores, counts
from mdsvc.fitting.l3 import fewest, joined, with_free
from mdsvc.fitting.picking import Pick, broken
from mdsvc.policy.flavor import ThreadPolicy
from mdsvc.topology import Host, HostCell, MemoryPool

__all__ = ["FreePool", "Pick", "Vacancy", "broken", "pick", "ranked", "spanned", "vacancies"]


class FreePool(msgspec.Struct, frozen=True, gc=False):
    """What is free of one pool of a host cell's memory, in KiB (R15); ``size_kb`` is the pool's."""

    size_kb: int | None
    is_base: bool
    free_kb: int  # for guests that do not overcommit
    left_kb: int  # for those that do, all together
    most_kb: int  # and for one guest cell of these


@lru_cache(maxsize=4096)
def _free_pools(pools: tuple[MemoryPool, ...], ratio: float) -> tuple[FreePool, ...]:
    """What guests may still take of the pools. Cells that are alike in this share the answer."""
    free_pools = []
    for pool in pools:
        free_kb = max(0, pool.limit_kb(ratio) - pool.used_kb)
        left_kb = max(0, pool.limit_kb(ratio, overcommits=True) - pool.used_kb)
        most_kb = min(pool.capacity_kb, left_kb)
        free_pools.append(FreePool(pool.size_kb, pool.is_base, free_kb, left_kb, most_kb))
    return tuple(free_pools)


class Vacancy(Cores, frozen=True, dict=True):
    """The free part of one host cell. Nothing in it is negative, however overfull the cell is."""

    cell: HostCell
    l3: int  # domains, full ones too; 0 where they are not known
    shared_cpus: int
    shared_left: int  # shared vCPUs that may still come, by the overcommit ratio
    shared_most: int  # and of one guest cell
    pools: tuple[FreePool, ...]  # the base pool, then the huge pages by their size

    @classmethod
    def of(cls, host: Host, cell: HostCell) -> Vacancy:
        """The vacancy that a host's cell has now."""
        free = cell.cpus.mask & host.cpu_dedicated_set.mask & ~cell.pinned.mask
        shared = (cell.cpus.mask & host.cpu_shared_set.mask).bit_count()
        shared_left = max(0, floor(shared * host.cpu_allocation_ratio) - cell.shared_used)
        return cls(
            **counts(cell.core_masks, free),
            cell=cell,
            l3=len(cell.l3_cores) if cell.l3 else 0,
            shared_cpus=shared,
            shared_left=shared_left,
            shared_most=min(shared, shared_left),
            pools=_free_pools(cell.pools, host.ram_allocation_ratio),
        )

    @cached_property
    def domains(self) -> list[Cores]:
        """The L3 domains that have free pCPUs, the fullest first; none where they are not known."""
        return with_free(self.cell.l3_cores, self.free_mask)

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """What tells this vacancy from others beside its labels, to rank cells without them."""
        return (
            self.free,
            [(pool.size_kb or 0, pool.free_kb, pool.left_kb, pool.most_kb) for pool in self.pools],
            self.shared_left,
            self.shared_cpus,
            self.cell.memory_mb,
            [pool.capacity_kb for pool in self.cell.pools],
            self.whole_threads,
            self.whole_cores,
            [] if self.core_size else sorted(map(int.bit_count, self.whole)),
            self.isolated,
            self.paired_threads,
            [left.bit_count() for left in self.loose] if self.paired_threads else [],
            len(self.masks),
            self.cell.cpus.mask.bit_count(),
            self.cell.pinned.mask.bit_count(),
            self.l3,
            [domain.kind for domain in self.domains] if self.l3 > 1 else [],
        )


def vacancies(host: Host) -> tuple[Vacancy, ...]:
    """The host's vacancies. Worked out once for a host, which never changes."""
    kept: tuple[Vacancy, ...] | None = host.__dict__.get("_vacancies")
    if kept is None:
        kept = host.__dict__["_vacancies"] = tuple(Vacancy.of(host, cell) for cell in host.cells)
    return kept


def ranked(host: Host) -> tuple[Vacancy, ...]:
    """The vacancies in an order that relabelling does not change: by what is free in them, and only
    among equals by cell id.
    """
    kept: tuple[Vacancy, ...] | None = host.__dict__.get("_ranked")
    if kept is None:
        by_id = sorted(vacancies(host), key=lambda vacancy: vacancy.cell.id)
        kept = host.__dict__["_ranked"] = tuple(sorted(by_id, key=attrgetter("signature")))
    return kept


def spanned(vacancy: Vacancy, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> int:
    """How many L3 domains so many vCPUs, and 0 or 1 emulator pCPU, are in where they are known.

    There must be some, and the vacancy must have them.
    """
    return len(_domains(vacancy, policy, vcpus, reserved)) if vacancy.l3 > 1 else vacancy.l3


def pick(vacancy: Vacancy, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> Pick:
    """The pCPUs themselves, of a vacancy that has them."""
    if vacancy.l3 > 1 and vcpus + reserved:
        cores = joined(_domains(vacancy, policy, vcpus, reserved))
        return picking.pick(cores, policy, vcpus, reserved)
    return picking.pick(vacancy, policy, vcpus, reserved)


def _domains(
    vacancy: Vacancy, policy: ThreadPolicy | None, vcpus: int, reserved: int
) -> list[Cores]:
    """The fewest domains that take them. Worked out once for a vacancy."""
    kept: dict[object, list[Cores]] = vacancy.__dict__.setdefault("_fewest", {})
    asked = policy, vcpus, reserved
    if asked not in kept:
        kept[asked] = fewest(vacancy, vacancy.domains, policy, vcpus, reserved)
    return kept[asked]
