"""One CPU for each thread of a program on several CPUs: in an isolated partition nobody else
spreads them, and all would stay on the CPU where the first one started.

Threads that chose their CPUs themselves, as DPDK's do, are left alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from mdguest.cpuset import CpuSet
from mdguest.system import System

_SOON, _LATER = 0.1, 1.0
"""Seconds between two looks: while a program starts, and from ten seconds on."""


def pins(threads: Mapping[int, CpuSet], cpus: CpuSet) -> dict[int, int]:
    """A CPU for each thread that may still use all: the one that fewest others have."""
    load = Counter(dict.fromkeys(cpus, 0))
    load.update(next(iter(own)) for own in threads.values() if len(own) == 1)
    chosen = {}
    for thread in sorted(thread for thread, own in threads.items() if cpus <= own):
        chosen[thread] = min(cpus, key=lambda cpu: (load[cpu], cpu))
        load[chosen[thread]] += 1
    return chosen


def start_pinning(pid: int, subset: str) -> None:
    """Leave a process behind that pins the subset's threads until the last one ends.

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
    while True:
        with contextlib.suppress(ProcessLookupError):
            _pin_all(system, group)
        time.sleep(_SOON if time.monotonic() - since < 10 else _LATER)
        if "populated 1" not in system.read(f"{group}/cgroup.events"):  # or it is gone: OSError
            return


def _wait_for_group(system: System, pid: int, subset: str) -> str:
    while True:  # until the process is gone: OSError
        group = system.read(f"/proc/{pid}/cgroup").rpartition("0::")[2]
        if subset in group:
            return f"/sys/fs/cgroup{group}"
        time.sleep(0.02)


def _pin_all(system: System, group: str) -> None:
    cpus = CpuSet.parse(system.read(f"{group}/cpuset.cpus.effective"))
    threads = dict(_threads(system, system.read(f"{group}/cgroup.threads").split()))
    for thread, cpu in pins(threads, cpus).items():
        with contextlib.suppress(OSError):
            system.set_affinity(thread, CpuSet.of([cpu]))


def _threads(system: System, ids: Iterable[str]) -> Iterable[tuple[int, CpuSet]]:
    for thread in map(int, ids):
        with contextlib.suppress(OSError):
            yield thread, system.affinity(thread)
