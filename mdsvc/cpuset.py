"""The CPU list grammar of the Linux kernel, and the immutable set it denotes.

cpuset(7), "List format": *"a comma-separated list of CPU or memory-node numbers and ranges of
numbers"*, for example ``0-4,9``. The empty string is the empty set. Written out, a set is
ascending with its ranges collapsed, as the kernel prints it.

Flavors also know exclusions, ``^N`` and ``^N-M`` (Nova, ``nova.virt.hardware.parse_cpu_spec``).

Standard library only and Python 3.9 on purpose: the guest tool carries this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_CPU = 8191
"""The largest CPU number that any Linux build knows (CONFIG_NR_CPUS of at most 8192)."""

_ELEMENT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class CpuSet:
    """A set of CPU numbers, kept as a bit mask: CPU ``n`` is in it when bit ``n`` is set.

    Immutable: operators return new sets, and ``mask`` is never assigned to.
    """

    __slots__ = ("mask",)

    def __init__(self, mask: int = 0) -> None:
        self.mask = mask

    @classmethod
    def of(cls, cpus: Iterable[int]) -> CpuSet:
        """The set of the given CPU numbers, each 0 to MAX_CPU."""
        mask = 0
        for cpu in cpus:
            if not 0 <= cpu <= MAX_CPU:
                raise ValueError(f"CPU {cpu} is not in 0-{MAX_CPU}")
            mask |= 1 << cpu
        return cls(mask)

    @classmethod
    def first(cls, count: int) -> CpuSet:
        """CPUs 0 to ``count - 1``."""
        return cls((1 << count) - 1)

    @classmethod
    def parse(cls, text: str) -> CpuSet:
        """Read the list form, ``0-3,7``. Raises ValueError saying which part is wrong."""
        if not text.strip():
            return EMPTY
        mask = 0
        for element in text.split(","):
            mask |= _element_mask(element.strip(), text)
        return cls(mask)

    @classmethod
    def parse_spec(cls, text: str, universe: CpuSet | None = None) -> CpuSet:
        """Read the list form with exclusions: ``0-7,^2`` is all of 0-7 but 2.

        An exclusion counts wherever it stands. A text that starts with one excludes from
        ``universe`` where that is given: ``^0-1`` of 0-3 is 2-3.
        """
        elements = [element.strip() for element in text.split(",")] if text.strip() else []
        start = universe if universe and elements and elements[0].startswith("^") else EMPTY
        included, excluded = start.mask, 0
        for element in elements:
            if element.startswith("^"):
                excluded |= _element_mask(element[1:], text)
            else:
                included |= _element_mask(element, text)
        return cls(included & ~excluded)

    def __str__(self) -> str:
        return ",".join(
            str(start) if start == end else f"{start}-{end}" for start, end in self.ranges()
        )

    def __repr__(self) -> str:
        return f"CpuSet({str(self)!r})"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The runs of neighbouring CPUs, ascending, as (first, last)."""
        mask, offset = self.mask, 0
        while mask:
            gap = (mask & -mask).bit_length() - 1
            mask >>= gap
            run = (~mask & (mask + 1)).bit_length() - 1
            yield offset + gap, offset + gap + run - 1
            mask >>= run
            offset += gap + run

    def __iter__(self) -> Iterator[int]:
        mask = self.mask
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1
            mask ^= low

    def __len__(self) -> int:
        return bin(self.mask).count("1")  # noqa: FURB161  # int.bit_count() came with Python 3.10

    def __bool__(self) -> bool:
        return self.mask != 0

    def __contains__(self, cpu: int) -> bool:
        return cpu >= 0 and bool(self.mask >> cpu & 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CpuSet) and self.mask == other.mask

    def __hash__(self) -> int:
        return hash(self.mask)

    def __and__(self, other: CpuSet) -> CpuSet:
        return CpuSet(self.mask & other.mask)

    def __or__(self, other: CpuSet) -> CpuSet:
        return CpuSet(self.mask | other.mask)

    def __sub__(self, other: CpuSet) -> CpuSet:
        return CpuSet(self.mask & ~other.mask)

    def __le__(self, other: CpuSet) -> bool:
        """Whether every CPU of this set is in the other."""
        return not self.mask & ~other.mask


EMPTY = CpuSet()


def union(sets: Iterable[CpuSet]) -> CpuSet:
    """The CPUs that are in any of the sets."""
    mask = 0
    for cpus in sets:
        mask |= cpus.mask
    return CpuSet(mask)


def _element_mask(element: str, text: str) -> int:
    """The mask of one ``N`` or ``N-M``."""
    match = _ELEMENT.fullmatch(element)
    if not match:
        raise ValueError(
            f"{_shown(element)} in {_shown(text)} is no CPU number or range (like 0-3,7)"
        )
    first = int(match[1])
    last = int(match[2] or first)
    if last > MAX_CPU:
        raise ValueError(f"CPU {last} in {_shown(text)} is above {MAX_CPU}")
    if first > last:
        raise ValueError(f"range {element} in {_shown(text)} runs backwards")
    return (1 << last + 1) - (1 << first)


def _shown(text: str) -> str:
    """The text as it appears in a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
