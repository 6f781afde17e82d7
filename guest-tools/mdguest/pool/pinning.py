"""A CPU for each busy thread of a program on several CPUs: in an isolated partition nobody else
spreads them, and all would stay on the CPU where the first one started.

A thread is moved, not tied: it stays where it is put, because nobody balances there. Were it tied,
its threads to come would inherit that, and the program would see a single CPU and start one thread.
Linux moves a thread only by tying it for a moment; those that are born in this moment are untied at
the next look. Threads that chose their CPUs themselves, as DPDK's do, are left alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mdguest.cpuset import CpuSet
from mdguest.procfs import Stat, cgroup, stat
from mdguest.system import System

_SOON, _LATER = 0.1, 1.0
"""Seconds between two looks: while a program starts, and from ten seconds on."""

_TICKS = os.sysconf("SC_CLK_TCK")
"""In a second: what /proc counts in."""


class Busy(NamedTuple):
    """A thread that runs, or would if its CPU were free."""

    tid: int
    cpu: int
    allowed: CpuSet


class Tie(NamedTuple):
    """A thread was allowed on one CPU only, between two moments, in ticks since the boot."""

    cpu: int
    start: int
    end: int


def moves(busy: Iterable[Busy], cpus: CpuSet) -> dict[int, int]:
    """Another CPU for each thread that has to share its own while there is one with less to do."""
    threads = sorted(busy)
    load = Counter(dict.fromkeys(cpus, 0))
    load.update(thread.cpu for thread in threads)
    chosen = {}
    for thread in threads:
        best = min(cpus, key=lambda cpu: (load[cpu], cpu))
        if cpus <= thread.allowed and load[thread.cpu] > load[best] + 1:
            load[thread.cpu] -= 1
            load[best] += 1
            chosen[thread.tid] = best
    return chosen


def start_pinning(pid: int, subset: str) -> None:
    """Leave a process behind that spreads the subset's threads until the last one ends.

    It stays in the caller's cgroup, off the pool, and holds none of the caller's files.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, 65536)
    with contextlib.suppress(Exception):
        _follow(System(), pid, subset)
    os._exit(0)


def _follow(system: System, pid: int, subset: str) -> None:
    group = _wait_for_group(system, pid, subset)
    since = time.monotonic()
    ties: list[Tie] = []
    while True:
        with contextlib.suppress(ProcessLookupError):
            ties = untie_heirs(system, group, ties) + _spread(system, group)
        time.sleep(_SOON if time.monotonic() - since < 10 else _LATER)
        if "populated 1" not in system.read(f"{group}/cgroup.events"):  # or it is gone: OSError
            return


def _wait_for_group(system: System, pid: int, subset: str) -> str:
    while True:  # until the process is gone: OSError
        group = cgroup(system, pid)
        if subset in group:
            return f"/sys/fs/cgroup{group}"
        time.sleep(0.02)


def _spread(system: System, group: str) -> list[Tie]:
    cpus = CpuSet.parse(system.read(f"{group}/cpuset.cpus.effective"))
    ties = []
    for thread, cpu in moves(list(_busy(system, group)), cpus).items():
        with contextlib.suppress(OSError):
            ties.append(move(system, thread, cpu))
    return ties


def untie_heirs(system: System, group: str, ties: list[Tie]) -> list[Tie]:
    """Let the threads go that were born while another was tied, and so are tied as it was.

    A thread that was tied until now may have heirs of its own: such ties, to look at next time.
    """
    if not ties:
        return []
    found = []
    for thread in _threads(system, group):
        with contextlib.suppress(OSError):
            born, allowed = _stat(system, thread).started, system.affinity(thread)
            for tie in ties:
                if tie.start <= born <= tie.end + 1 and allowed == CpuSet.of([tie.cpu]):
                    system.set_affinity(thread, every_cpu(system))
                    found.append(Tie(tie.cpu, tie.start, _now()))
                    break
    return found


def every_cpu(system: System) -> CpuSet:
    """What a task asks for that goes wherever its cgroup lets it. To ask for just the cgroup's CPUs
    would tie it to them when the cgroup gets others: from Linux 6.2 on, wishes are remembered.
    """
    return CpuSet.parse(system.read("/sys/devices/system/cpu/possible"))


def _threads(system: System, group: str) -> list[int]:
    return [int(thread) for thread in system.read(f"{group}/cgroup.threads").split()]


def _stat(system: System, thread: int) -> Stat:
    return stat(system.read(f"/proc/{thread}/stat"))


def _busy(system: System, group: str) -> Iterator[Busy]:
    for thread in _threads(system, group):
        with contextlib.suppress(OSError):
            told = _stat(system, thread)
            if told.state == "R":
                yield Busy(thread, told.cpu, system.affinity(thread))


def _now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def move(system: System, thread: int, cpu: int) -> Tie:
    """To be allowed on one CPU only moves it there; then it may use the others again."""
    start, alone = _now(), CpuSet.of([cpu])
    system.set_affinity(thread, alone)
    if system.affinity(thread) == alone:
        system.set_affinity(thread, every_cpu(system))
    return Tie(cpu, start, _now())
