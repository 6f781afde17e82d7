"""The free part of some cores: what can be counted of it, and the cores one by one.

A core that is wholly free is *whole*; the free threads of all other cores are *loose*. A thread
that is *split* off has the rest of its core in another cell: it is loose, and no core of its own.
Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import msgspec


class Kind(NamedTuple):
    """All that tells some cores from others, beside labels and what is in use."""

    free: int
    whole_cores: int
    isolated: int
    split_free: int
    whole_sizes: tuple[int, ...] = ()  # these two only where cores have three threads and more
    loose: tuple[tuple[int, int], ...] = ()  # free threads and size


class Loose(NamedTuple):
    """A core of which some threads are free and not all, or a thread alone; in their order."""

    free: int  # threads
    size: int  # threads that are not free too
    entire: bool  # none of it is in another cell
    lowest: int  # the free thread, as a mask
    left: int  # the free threads, as a mask


class Cores(msgspec.Struct, frozen=True, dict=True):
    """The free part of some cores: those of a host cell, or of an L3 domain in it."""

    masks: tuple[int, ...]  # the cores, with the threads that are not free
    free_mask: int
    free: int  # free pCPUs
    whole_cores: int  # how many cores of two threads and more are all free
    core_size: int  # threads of each whole core; 0 where they differ, 1 where there is none
    whole_threads: int
    loose_threads: int  # free threads of all other cores
    paired_threads: int  # of these, on cores with at least two
    isolated: int  # cores that are wholly free, those of one thread too unless it is split off
    split_mask: int  # of the cores' threads, those that are split off

    @classmethod
    def among(cls, masks: tuple[int, ...], free: int, split: int) -> Cores:
        """What is free of these cores, where these pCPUs are and these are split off."""
        return Cores(*counts(masks, free, split))

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """The whole cores of two threads and more, smallest first."""
        free = self.free_mask
        whole = (core for core in self.masks if core & free == core and core & (core - 1))
        return tuple(sorted(whole, key=int.bit_count))

    @cached_property
    def whole_cpus(self) -> tuple[int, ...]:
        """The pCPUs of the whole cores, core by core."""
        return tuple(cpu for core in self.whole for cpu in cpus_of(core))

    @cached_property
    def loose_cores(self) -> list[Loose]:
        """The cores that are not whole, the fewest free threads first and the lowest CPU then."""
        cores = ((core, core & self.free_mask) for core in self.masks)
        return sorted(
            Loose(
                left.bit_count(), core.bit_count(), not core & self.split_mask, left & -left, left
            )
            for core, left in cores
            if left and (left != core or not core & (core - 1))
        )

    @cached_property
    def loose(self) -> tuple[int, ...]:
        """The free threads of each core that is not whole, fewest first."""
        return tuple(core.left for core in self.loose_cores)

    @cached_property
    def single_cpus(self) -> list[int]:
        """The free pCPUs that are cores of their own."""
        return [lowest(core.left) for core in self.loose_cores if core.size == 1 and core.entire]

    @cached_property
    def kind(self) -> Kind:
        """What tells these cores from others."""
        known = self.free, self.whole_cores, self.isolated, self.split_free
        if _most_threads(self.masks) < 3:
            return Kind(*known)  # with one or two threads a core, that is all there can be
        sizes = tuple(map(int.bit_count, self.whole))
        return Kind(*known, sizes, tuple((core.free, core.size) for core in self.loose_cores))

    @property
    def split_free(self) -> int:
        """How many threads that are split off are free."""
        return (self.free_mask & self.split_mask).bit_count()

    @property
    def pairable(self) -> int:
        """How many threads stand on cores with at least two free ones (policy `require`)."""
        return self.whole_threads + self.paired_threads

    @property
    def singles(self) -> int:
        """How many cores of one thread are free."""
        return self.isolated - self.whole_cores


# ---- counting ----


class Counts(NamedTuple):
    """The fields of ``Cores`` in their order, for it and what extends it to be made from."""

    masks: tuple[int, ...]
    free_mask: int
    free: int
    whole_cores: int
    core_size: int
    whole_threads: int
    loose_threads: int
    paired_threads: int
    isolated: int
    split_mask: int


class _Pattern(NamedTuple):
    """Cores whose threads are numbered alike: the first thread of each, as a mask, and how much
    higher the numbers of the others are.
    """

    firsts: int
    steps: tuple[int, ...]


@lru_cache(maxsize=1024)
def _patterns(masks: tuple[int, ...]) -> tuple[_Pattern, ...]:
    """The patterns of the cores: one on most machines. Hosts of one model share them."""
    firsts: dict[tuple[int, ...], int] = {}
    for core in masks:
        first, *others = cpus_of(core)
        steps = tuple(cpu - first for cpu in others)
        firsts[steps] = firsts.get(steps, 0) | 1 << first
    return tuple(_Pattern(mask, steps) for steps, mask in firsts.items())


@lru_cache(maxsize=1024)
def _most_threads(masks: tuple[int, ...]) -> int:
    """Of any core, free or not."""
    return max(map(int.bit_count, masks), default=0)


def counts(masks: tuple[int, ...], free_mask: int, split_mask: int) -> Counts:
    """What can be counted of the cores, of all that are of one pattern at once: bit by bit, whose
    threads are all free (``every``), and which have one (``once``) and two (``twice``) that are.
    """
    whole_cores = whole_threads = lone = singles = 0
    core_size = 1
    for firsts, steps in _patterns(masks):
        every = once = free_mask & firsts
        twice = 0
        for step in steps:
            thread = free_mask >> step & firsts
            every &= thread
            twice |= once & thread
            once |= thread
        lone += (once & ~twice).bit_count()
        if not steps:
            singles += (every & ~split_mask).bit_count()
        elif every:
            size = len(steps) + 1
            core_size = size if core_size in (1, size) else 0
            whole_cores += every.bit_count()
            whole_threads += every.bit_count() * size
    free = free_mask.bit_count()
    loose = free - whole_threads
    paired, isolated = loose - lone, whole_cores + singles
    return Counts(  # in their order: by name it would take as long as all of the above
        masks,
        free_mask,
        free,
        whole_cores,
        core_size,
        whole_threads,
        loose,
        paired,
        isolated,
        split_mask,
    )


def the_only(sizes: Sequence[int]) -> int:
    """The size that all have; 0 where they differ."""
    return sizes[0] if sizes.count(sizes[0]) == len(sizes) else 0


def lowest(mask: int) -> int:
    """The lowest CPU of a mask that has one."""
    return (mask & -mask).bit_length() - 1


def cpus_of(mask: int) -> list[int]:
    """The CPUs of a mask, ascending."""
    cpus = []
    while mask:
        cpus.append(lowest(mask))
        mask &= mask - 1
    return cpus
