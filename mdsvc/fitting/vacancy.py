"""What is free in one host cell, and which of its pCPUs a guest cell would take.

``cores`` says what is free of some cores, ``picking`` which of their pCPUs are taken, and
``domains`` which L3 domains of a cell these are in. Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from functools import cached_property
from math import floor
from operator import attrgetter

from mdsvc.fitting import picking
from mdsvc.fitting.cores import Cores, counts
from mdsvc.fitting.l3 import fewest, joined, with_free
from mdsvc.fitting.picking import Pick, broken
from mdsvc.policy.flavor import ThreadPolicy
from mdsvc.topology import Host, HostCell, PagePool

__all__ = ["Pick", "Vacancy", "broken", "pick", "ranked", "spanned", "vacancies"]


class Vacancy(Cores, frozen=True, dict=True):
    """The free part of one host cell. Nothing in it is negative, however overfull the cell is."""

    cell: HostCell
    l3: int  # domains, full ones too; 0 where they are not known
    shared_cpus: int
    shared_most: int  # shared vCPUs that may still come, by the overcommit ratio
    memory_free_mb: int
    memory_most_mb: int  # that guests without dedicated CPUs may still take, by the ratio

    @classmethod
    def of(cls, host: Host, cell: HostCell) -> Vacancy:
        """The vacancy that a host's cell has now."""
        free = cell.cpus.mask & host.cpu_dedicated_set.mask & ~cell.pinned.mask
        shared = (cell.cpus.mask & host.cpu_shared_set.mask).bit_count()
        shared_left = floor(shared * host.cpu_allocation_ratio) - cell.shared_used
        memory_left = floor(cell.memory_mb * host.ram_allocation_ratio) - cell.memory_used_mb
        return cls(
            **counts(cell.core_masks, free),
            cell=cell,
            l3=len(cell.l3_cores) if cell.l3 else 0,
            shared_cpus=shared,
            shared_most=max(0, min(shared, shared_left)),
            memory_free_mb=max(0, cell.memory_mb - cell.memory_used_mb),
            memory_most_mb=max(0, min(cell.memory_mb, memory_left)),
        )

    @cached_property
    def domains(self) -> list[Cores]:
        """The L3 domains that have free pCPUs, the fullest first; none where they are not known."""
        return with_free(self.cell.l3_cores, self.free_mask)

    @cached_property
    def pools(self) -> tuple[PagePool, ...]:
        """The cell's page pools by their page size."""
        return tuple(sorted(self.cell.pages, key=lambda pool: pool.size_kb))

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """What tells this vacancy from others beside its labels, to rank cells without them."""
        return (
            self.free,
            self.memory_free_mb,
            self.memory_most_mb,
            self.shared_most,
            self.shared_cpus,
            self.cell.memory_mb,
            self.whole_threads,
            self.whole_cores,
            [] if self.core_size else sorted(map(int.bit_count, self.whole)),
            self.isolated,
            self.paired_threads,
            [left.bit_count() for left in self.loose] if self.paired_threads else [],
            len(self.masks),
            self.cell.cpus.mask.bit_count(),
            self.cell.pinned.mask.bit_count(),
            [(pool.size_kb, pool.free_kb, pool.total) for pool in self.pools],
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
