"""The free part of some cores: what can be counted of it, and the cores one by one.

A core that is wholly free is *whole*; the free threads of all other cores are *loose*. Masks are
bit masks over pCPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple, TypedDict

import msgspec

Kind = tuple[int, int, int, tuple[int, ...], tuple[tuple[int, int], ...]]


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
    isolated: int  # cores that are wholly free, those of one thread too

    @classmethod
    def among(cls, masks: tuple[int, ...], free: int) -> Cores:
        """What is free of these cores, where these pCPUs are."""
        return Cores(**counts(masks, free))

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
    def loose_cores(self) -> list[tuple[int, int, int, int]]:
        """Of each core that is not whole: free threads, all threads, lowest CPU, free mask."""
        cores = ((core, core & self.free_mask) for core in self.masks)
        return sorted(
            (left.bit_count(), core.bit_count(), left & -left, left)
            for core, left in cores
            if left and (left != core or not core & (core - 1))
        )

    @cached_property
    def loose(self) -> tuple[int, ...]:
        """The free threads of each core that is not whole, fewest first."""
        return tuple(left for _, _, _, left in self.loose_cores)

    @cached_property
    def loose_sizes(self) -> tuple[int, ...]:
        """How many threads these cores have, used ones too."""
        return tuple(size for _, size, _, _ in self.loose_cores)

    @cached_property
    def kind(self) -> Kind:
        """All that tells these cores from others, beside labels and what is in use."""
        known = self.free, self.whole_cores, self.isolated
        if all(len(pattern.steps) < 2 for pattern in _patterns(self.masks)):
            return *known, (), ()  # with one or two threads a core, that is all there can be
        sizes = tuple(map(int.bit_count, self.whole))
        return *known, sizes, tuple((left, size) for left, size, _, _ in self.loose_cores)

    @property
    def pairable(self) -> int:
        """How many threads stand on cores with at least two free ones (policy `require`)."""
        return self.whole_threads + self.paired_threads

    @property
    def singles(self) -> int:
        """Cores of one thread that are free."""
        return self.isolated - self.whole_cores


# ---- counting ----


class Counts(TypedDict):
    """The fields of ``Cores``, by name, to make it and what extends it of."""

    masks: tuple[int, ...]
    free_mask: int
    free: int
    whole_cores: int
    core_size: int
    whole_threads: int
    loose_threads: int
    paired_threads: int
    isolated: int


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


def counts(masks: tuple[int, ...], free: int) -> Counts:
    """What can be counted of the cores, of all that are of one pattern at once: bit by bit, whose
    threads are all free (``every``), and which have one (``once``) and two (``twice``) that are.
    """
    wholes = threads = lone = singles = 0
    core_size = 1
    for firsts, steps in _patterns(masks):
        every = once = free & firsts
        twice = 0
        for step in steps:
            thread = free >> step & firsts
            every &= thread
            twice |= once & thread
            once |= thread
        lone += (once & ~twice).bit_count()
        if not steps:
            singles += every.bit_count()
        elif every:
            size = len(steps) + 1
            core_size = size if core_size in (1, size) else 0
            wholes += every.bit_count()
            threads += every.bit_count() * size
    total = free.bit_count()
    loose = total - threads
    return {
        "masks": masks,
        "free_mask": free,
        "free": total,
        "whole_cores": wholes,
        "core_size": core_size,
        "whole_threads": threads,
        "loose_threads": loose,
        "paired_threads": loose - lone,
        "isolated": wholes + singles,
    }


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
