"""What is free in one host cell, and which of its pCPUs a guest cell would take.

``cores`` says what is free of some cores, ``picking`` which of their pCPUs are taken, and
``domains`` which L3 domains of a cell these are in. Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from math import floor
from operator import attrgetter

import msgspec
from msgspec.structs import astuple

from mdsvc.fitting import picking
from mdsvc.fitting.cores import Cores, counts
from mdsvc.fitting.l3 import fewest, joined, with_free
from mdsvc.fitting.picking import Pick, broken
from mdsvc.kept import kept
from mdsvc.likeness import shape_of
from mdsvc.policy.flavor import ThreadPolicy
from mdsvc.topology import Host, HostCell, MemoryPool

__all__ = [
    "FreePool",
    "Pick",
    "Vacancy",
    "alike",
    "broken",
    "pick",
    "ranked",
    "spanned",
    "vacancies",
]


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
            *counts(cell.core_masks, free, cell.split.mask),
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
        return with_free(self.cell.l3_cores, self.free_mask, self.split_mask)

    @property
    def amounts(self) -> tuple[int, ...]:
        """What there is of all that is counted, in numbers: the first part of a ranking."""
        return _AMOUNTS(self)

    @property
    def details(self) -> tuple[object, ...]:
        """What tells vacancies of the same amounts apart beside their labels."""
        return (
            *map(int.bit_count, _MASKS(self)),
            *map(len, _GROUPS(self)),
            *[tuple(sorted(map(astuple, getattr(self.cell, name)))) for name in _CELL.structs],
            self.split_free,
            () if self.core_size else tuple(map(int.bit_count, self.whole)),
            tuple([core[:2] for core in self.loose_cores]) if self.paired_threads else (),
            tuple([domain.kind for domain in self.domains]) if self.l3 > 1 else (),
        )


# ---- what tells vacancies apart: every field of them and of their cells, but the labels ----

_NUMBERED = frozenset({"masks", "free_mask", "split_mask", "cell", "pools"})
"""A vacancy's own fields that have labels, and the pools, which follow from fields of the cell; of
all these the details tell the rest.
"""

_CELL = shape_of(HostCell)
_AMOUNTS = attrgetter(
    *(name for name in Vacancy.__struct_fields__ if name not in _NUMBERED),
    *(f"cell.{name}" for name in _CELL.plain),
)
_cell_id = attrgetter("cell.id")
_DETAILS = attrgetter("details")
_MASKS = attrgetter(*(f"cell.{name}" for name in _CELL.masks))
_GROUPS = attrgetter(*(f"cell.{name}" for name in _CELL.groups))


@kept
def vacancies(host: Host) -> tuple[Vacancy, ...]:
    """The host's vacancies."""
    return tuple(Vacancy.of(host, cell) for cell in host.cells)


@kept
def alike(host: Host) -> Sequence[Sequence[Vacancy]]:
    """The vacancies in an order that relabelling does not change, those together that are alike but
    for labels: by their amounts, then by their details, and only among equals by cell id.
    """
    by_id = sorted(vacancies(host), key=_cell_id)
    groups: list[Sequence[Vacancy]] = []
    for same in _grouped(by_id, _AMOUNTS):
        groups += _grouped(same, _DETAILS) if len(same) > 1 else (same,)
    return groups


def _grouped(
    some: Sequence[Vacancy], key: Callable[[Vacancy], tuple[object, ...]]
) -> list[Sequence[Vacancy]]:
    """In the order of the key; those of one key in the order in which they came."""
    by_key: dict[tuple[object, ...], list[Vacancy]] = {}
    for vacancy in some:
        by_key.setdefault(key(vacancy), []).append(vacancy)
    return [by_key[each] for each in sorted(by_key)]


@kept
def ranked(host: Host) -> Sequence[Vacancy]:
    """The same one by one."""
    return [vacancy for group in alike(host) for vacancy in group]


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
    """The fewest domains that take them."""
    known, asked = _fewest(vacancy), (policy, vcpus, reserved)
    if asked not in known:
        known[asked] = fewest(vacancy, vacancy.domains, policy, vcpus, reserved)
    return known[asked]


@kept
def _fewest(_vacancy: Vacancy) -> dict[tuple[ThreadPolicy | None, int, int], list[Cores]]:
    """What was found so far, by what was asked: no more than the vacancy has pCPUs, times eight."""
    return {}
