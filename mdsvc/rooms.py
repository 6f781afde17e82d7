"""What is free in one host cell, and which of its pCPUs a guest cell would take.

A core that is wholly free is *whole*; the free threads of all other cores are *loose*. A guest
takes whole cores for its full pairs of threads and loose threads for the rest, so that few whole
cores end up broken, that is, partly used. Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import floor
from operator import attrgetter

import msgspec

from mdsvc.flavor import ThreadPolicy
from mdsvc.topology import Host, HostCell, PagePool


class Pick(msgspec.Struct, frozen=True):
    """pCPUs for the dedicated vCPUs, in the vCPUs' order, and for the isolated emulator."""

    pcpus: tuple[int, ...]
    reserved: int = 0  # a mask


class Room(msgspec.Struct, frozen=True, dict=True):
    """The free part of one host cell. Nothing in it is negative, however overfull the cell is."""

    cell: HostCell
    whole: tuple[int, ...]  # cores of two threads and more, all free; smallest first
    core_size: int  # threads of each whole core; 0 where they differ, 1 where there is none
    whole_threads: int
    loose_threads: int  # free threads of all other cores
    paired_threads: int  # of these, on cores with at least two
    free: int  # free pCPUs
    free_mask: int
    isolated: int  # cores that are wholly free, those of one thread too
    shared_cpus: int
    shared_most: int  # shared vCPUs that may still come, by the overcommit ratio
    memory_free_mb: int
    memory_most_mb: int  # that guests without dedicated CPUs may still take, by the ratio

    @classmethod
    def of(cls, host: Host, cell: HostCell) -> Room:
        """The room that a host's cell has now."""
        free = cell.cpus.mask & host.cpu_dedicated_set.mask & ~cell.pinned.mask
        shared = (cell.cpus.mask & host.cpu_shared_set.mask).bit_count()
        shared_left = floor(shared * host.cpu_allocation_ratio) - cell.shared_used
        memory_left = floor(cell.memory_mb * host.ram_allocation_ratio) - cell.memory_used_mb
        whole, paired, singles = _split(cell.core_masks, free)
        sizes = [core.bit_count() for core in whole]
        return cls(
            cell=cell,
            whole=tuple(sorted(whole, key=int.bit_count)),
            core_size=_the_only(sizes or [1]),
            whole_threads=sum(sizes),
            loose_threads=free.bit_count() - sum(sizes),
            paired_threads=paired,
            free=free.bit_count(),
            free_mask=free,
            isolated=len(whole) + singles,
            shared_cpus=shared,
            shared_most=max(0, min(shared, shared_left)),
            memory_free_mb=max(0, cell.memory_mb - cell.memory_used_mb),
            memory_most_mb=max(0, min(cell.memory_mb, memory_left)),
        )

    @cached_property
    def whole_cpus(self) -> tuple[int, ...]:
        """The pCPUs of the whole cores, core by core."""
        return tuple(cpu for core in self.whole for cpu in _cpus(core))

    @cached_property
    def _loose(self) -> list[tuple[int, int, int, int]]:
        """Of each core that is not whole: free threads, all threads, lowest CPU, free mask."""
        cores = ((core, core & self.free_mask) for core in self.cell.core_masks)
        return sorted(
            (left.bit_count(), core.bit_count(), left & -left, left)
            for core, left in cores
            if left and (left != core or _single(core))
        )

    @cached_property
    def loose(self) -> tuple[int, ...]:
        """The free threads of each core that is not whole, fewest first."""
        return tuple(left for _, _, _, left in self._loose)

    @cached_property
    def loose_sizes(self) -> tuple[int, ...]:
        """How many threads these cores have, used ones too."""
        return tuple(size for _, size, _, _ in self._loose)

    @cached_property
    def pools(self) -> tuple[PagePool, ...]:
        """The cell's page pools by their page size."""
        return tuple(sorted(self.cell.pages, key=lambda pool: pool.size_kb))

    @property
    def pairable(self) -> int:
        """How many threads stand on cores with at least two free ones (policy `require`)."""
        return self.whole_threads + self.paired_threads

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """What tells this room from others beside its labels, to rank cells without them."""
        return (
            self.free,
            self.memory_free_mb,
            self.memory_most_mb,
            self.shared_most,
            self.shared_cpus,
            self.cell.memory_mb,
            self.whole_threads,
            len(self.whole),
            [] if self.core_size else sorted(map(int.bit_count, self.whole)),
            self.isolated,
            self.paired_threads,
            [left.bit_count() for left in self.loose] if self.paired_threads else [],
            len(self.cell.core_masks),
            self.cell.cpus.mask.bit_count(),
            self.cell.pinned.mask.bit_count(),
            [(pool.size_kb, pool.free_kb, pool.total) for pool in self.pools],
        )


def _the_only(sizes: Sequence[int]) -> int:
    """The size that all have; 0 where they differ."""
    return sizes[0] if sizes.count(sizes[0]) == len(sizes) else 0


def _split(cores: Sequence[int], free: int) -> tuple[list[int], int, int]:
    """The whole cores, how many free threads elsewhere are not alone on their core, and how many
    cores of one thread are free.
    """
    whole, paired, singles = [], 0, 0
    for core in cores:
        left = core & free
        if left & (left - 1):
            if left == core:
                whole.append(core)
            else:
                paired += left.bit_count()
        elif left and left == core:
            singles += 1
    return whole, paired, singles


def _single(core: int) -> bool:
    return not core & (core - 1)


def rooms(host: Host) -> tuple[Room, ...]:
    """The host's rooms. Worked out once for a host, which never changes."""
    kept: tuple[Room, ...] | None = host.__dict__.get("_rooms")
    if kept is None:
        kept = host.__dict__["_rooms"] = tuple(Room.of(host, cell) for cell in host.cells)
    return kept


def ranked(host: Host) -> tuple[Room, ...]:
    """The rooms in an order that relabelling does not change: by what is free in them, and only
    among equals by cell id.
    """
    kept: tuple[Room, ...] | None = host.__dict__.get("_ranked")
    if kept is None:
        by_id = sorted(rooms(host), key=lambda room: room.cell.id)
        kept = host.__dict__["_ranked"] = tuple(sorted(by_id, key=attrgetter("signature")))
    return kept


class _Shape(msgspec.Struct, frozen=True):
    """How a guest cell's threads are spread over a room's cores."""

    broken: int  # whole cores that end up partly used
    whole_threads: int  # threads on whole cores that are used up
    completes: bool = False  # the emulator thread is the last of these


def broken(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> int:
    """The fewest whole cores that must be broken for so many vCPUs, and 0 or 1 emulator pCPU.

    The room must have them: ``demand.fits`` says so.
    """
    if policy == "isolate":
        return max(0, vcpus + reserved - (room.isolated - len(room.whole)))
    if reserved or not room.core_size:
        return _shape(room, policy, vcpus, reserved).broken
    loose = room.paired_threads if policy == "require" else room.loose_threads
    return 1 if vcpus - _on_whole(room, vcpus) > loose else 0


def pick(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> Pick:
    """The pCPUs themselves, of a room that has them."""
    if policy == "isolate":
        return _pick_isolated(room, vcpus, reserved)
    if not reserved and room.core_size and _on_whole(room, vcpus) == vcpus:
        return Pick(room.whole_cpus[:vcpus])
    return _pick_shaped(room, policy, _shape(room, policy, vcpus, reserved), vcpus, reserved)


def _on_whole(room: Room, vcpus: int) -> int:
    """How many of the vCPUs go on whole cores that they use up, where all are of one size."""
    size = room.core_size
    return min(len(room.whole), vcpus // size) * size


def _loose_for(room: Room, policy: ThreadPolicy | None) -> tuple[list[int], list[int]]:
    """The loose threads that vCPUs may take, and those that only the emulator may take."""
    if policy != "require":
        return list(room.loose), []
    paired = [left for left in room.loose if left & (left - 1)]
    return paired, [left for left in room.loose if not left & (left - 1)]


def _shape(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> _Shape:
    usable, lone = _loose_for(room, policy)
    sizes = [core.bit_count() for core in room.whole]
    loose, spare = (sum(map(int.bit_count, lefts)) for lefts in (usable, lone))
    threads = _whole_threads(sizes, vcpus - min(loose, loose + spare - reserved), vcpus)
    if threads is not None:
        return _Shape(0, threads)
    if reserved:
        # One thread of a core with only two would be the one lone vCPU that `require` allows.
        slack = 0 if policy == "require" and sizes and sizes[0] == 2 else loose
        threads = _whole_threads(sizes, vcpus + 1 - slack, vcpus + 1)
        if threads:
            return _Shape(0, threads, completes=True)
    threads = _whole_threads(sizes, 0, vcpus)
    assert threads is not None, "no cores at all are 0 threads"
    return _Shape(1, threads)


def _whole_threads(sizes: list[int], low: int, high: int) -> int | None:
    """The most threads, low to high, that some of the whole cores have together."""
    if not sizes or sizes[0] == sizes[-1]:
        size = sizes[0] if sizes else 1
        most = min(len(sizes), high // size) * size
    else:
        most = _sums(sizes, high)[-1].bit_length() - 1
    return most if most >= low else None


def _sums(sizes: list[int], most: int) -> list[int]:
    """Bit n of item k is set when some of the last k sizes add up to n, of at most that many."""
    sums = [1]
    for size in reversed(sizes):
        sums.append((sums[-1] | sums[-1] << size) & (1 << most + 1) - 1)
    return sums


def _split_whole(whole: tuple[int, ...], threads: int) -> tuple[list[int], list[int]]:
    """Whole cores with so many threads together, smallest first, and the other ones."""
    sizes = [core.bit_count() for core in whole]
    if not sizes or sizes[0] == sizes[-1]:
        count = threads // sizes[0] if sizes else 0
        return list(whole[:count]), list(whole[count:])
    used: list[int] = []
    rest: list[int] = []
    for core, size, later in zip(whole, sizes, _sums(sizes, threads)[-2::-1], strict=True):
        if size <= threads and later >> threads - size & 1:
            used.append(core)
            threads -= size
        else:
            rest.append(core)
    return used, rest


def _pick_isolated(room: Room, vcpus: int, reserved: int) -> Pick:
    """One thread each of wholly free cores; cores of a single thread first, they break none."""
    sized = zip(room.loose, room.loose_sizes, strict=True)
    singles = [left for left, size in sized if size == 1]
    cores = [_lowest(core) for core in (*singles, *room.whole)][: vcpus + reserved]
    return Pick(tuple(cores[:vcpus]), sum(1 << cpu for cpu in cores[vcpus:]))


def _pick_shaped(
    room: Room, policy: ThreadPolicy | None, shape: _Shape, vcpus: int, reserved: int
) -> Pick:
    usable, lone = _loose_for(room, policy)
    used, rest = _split_whole(room.whole, shape.whole_threads)
    pcpus = [cpu for core in used for cpu in _cpus(core)]
    if shape.completes:
        reserved, emulator = 0, 1 << pcpus.pop()
    else:
        emulator = 0
    missing = vcpus - len(pcpus)
    sources = rest[:1] if shape.broken and missing else usable
    taken = _take(sources, missing)
    pcpus += [cpu for mask in taken for cpu in _cpus(mask)]
    if reserved:
        mask = sum(taken)
        left = [threads & ~mask for threads in (*lone, *usable, *rest)]
        emulator = 1 << _lowest(next(threads for threads in left if threads))
    return Pick(tuple(pcpus), emulator)


def _take(sources: list[int], count: int) -> list[int]:
    """So many threads of the sources: the tightest that suffices, else the largest and again."""
    taken: list[int] = []
    left = sorted(sources, key=int.bit_count, reverse=True)
    for at, source in enumerate(left if count else ()):
        if source.bit_count() >= count:
            tightest = min((s for s in left[at:] if s.bit_count() >= count), key=int.bit_count)
            return [*taken, sum(1 << cpu for cpu in _cpus(tightest)[:count])]
        taken.append(source)
        count -= source.bit_count()
    return taken


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _cpus(mask: int) -> list[int]:
    cpus = []
    while mask:
        cpus.append(_lowest(mask))
        mask &= mask - 1
    return cpus
