"""Which pCPUs a guest cell takes of some cores, and how many whole cores that breaks.

Whole cores are for full pairs of threads and loose threads for the rest, so that few whole cores
end up broken, that is, partly used.
"""

from __future__ import annotations

import msgspec

from mdsvc.fitting.cores import Cores, cpus_of, lowest
from mdsvc.policy.flavor import ThreadPolicy


class Pick(msgspec.Struct, frozen=True):
    """pCPUs for the dedicated vCPUs, in the vCPUs' order, and for the isolated emulator."""

    pcpus: tuple[int, ...]
    reserved: int = 0  # a mask


class _Shape(msgspec.Struct, frozen=True):
    """How a guest cell's threads are spread over the cores."""

    broken: int  # whole cores that end up partly used
    whole_threads: int  # threads on whole cores that are used up
    completes: bool = False  # the emulator thread is the last of these


def broken(cores: Cores, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> int:
    """The fewest whole cores that must be broken for so many vCPUs, and 0 or 1 emulator pCPU.

    The cores must have them: ``demand.fits`` says so.
    """
    if policy == "isolate":
        return max(0, vcpus + reserved - cores.singles)
    if reserved or not cores.core_size:
        return _shape(cores, policy, vcpus, reserved).broken
    loose = cores.paired_threads if policy == "require" else cores.loose_threads
    return 1 if vcpus - _on_whole(cores, vcpus) > loose else 0


def pick(cores: Cores, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> Pick:
    """The pCPUs themselves, of cores that have them."""
    if policy == "isolate":
        return _pick_isolated(cores, vcpus, reserved)
    if not reserved and cores.core_size and _on_whole(cores, vcpus) == vcpus:
        return Pick(cores.whole_cpus[:vcpus])
    return _pick_shaped(cores, policy, _shape(cores, policy, vcpus, reserved), vcpus, reserved)


def _on_whole(cores: Cores, vcpus: int) -> int:
    """How many of the vCPUs go on whole cores that they use up, where all are of one size."""
    size = cores.core_size
    return min(cores.whole_cores, vcpus // size) * size


def _loose_for(cores: Cores, policy: ThreadPolicy | None) -> tuple[list[int], list[int]]:
    """The loose threads that vCPUs may take, and those that only the emulator may take."""
    if policy != "require":
        return list(cores.loose), []
    paired = [left for left in cores.loose if left & (left - 1)]
    return paired, [left for left in cores.loose if not left & (left - 1)]


def _shape(cores: Cores, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> _Shape:
    usable, lone = _loose_for(cores, policy)
    sizes = [core.bit_count() for core in cores.whole]
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


def _pick_isolated(cores: Cores, vcpus: int, reserved: int) -> Pick:
    """One thread each of wholly free cores; cores of a single thread first, they break none."""
    taken = [*cores.single_cpus, *map(lowest, cores.whole)][: vcpus + reserved]
    return Pick(tuple(taken[:vcpus]), sum(1 << cpu for cpu in taken[vcpus:]))


def _pick_shaped(
    cores: Cores, policy: ThreadPolicy | None, shape: _Shape, vcpus: int, reserved: int
) -> Pick:
    usable, lone = _loose_for(cores, policy)
    used, rest = _split_whole(cores.whole, shape.whole_threads)
    pcpus = [cpu for core in used for cpu in cpus_of(core)]
    if shape.completes:
        reserved, emulator = 0, 1 << pcpus.pop()
    else:
        emulator = 0
    missing = vcpus - len(pcpus)
    sources = rest[:1] if shape.broken and missing else usable
    taken = _take(sources, missing)
    pcpus += [cpu for mask in taken for cpu in cpus_of(mask)]
    if reserved:
        mask = sum(taken)
        left = [threads & ~mask for threads in (*lone, *usable, *rest)]
        emulator = 1 << lowest(next(threads for threads in left if threads))
    return Pick(tuple(pcpus), emulator)


def _take(sources: list[int], count: int) -> list[int]:
    """So many threads of the sources: the tightest that suffices, else the largest and again."""
    taken: list[int] = []
    left = sorted(sources, key=int.bit_count, reverse=True)
    for at, source in enumerate(left if count else ()):
        if source.bit_count() >= count:
            tightest = min((s for s in left[at:] if s.bit_count() >= count), key=int.bit_count)
            return [*taken, sum(1 << cpu for cpu in cpus_of(tightest)[:count])]
        taken.append(source)
        count -= source.bit_count()
    return taken
