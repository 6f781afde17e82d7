"""Waking the CPUs of a partition that the kernel balances.

A CPU that fell asleep while nobody balanced it, in an isolated partition or alone in its own, is
given no program to share until something wakes it (Linux kernel/sched/fair.c,
nohz_balance_enter_idle). On a CPU that all else keeps off, that may be never.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet

if TYPE_CHECKING:
    from mdguest.system import System

ROOM = "wake"
"""A cgroup in the partition, whose own may hold no process once it has others below it."""


def wake(system: System, partition: str) -> None:
    """Have each CPU of the partition with this cgroup run something, if the kernel balances it.

    What fails is let be: such a CPU comes in by itself once a program starts there.
    """
    with contextlib.suppress(OSError):
        if system.read(f"{partition}/cpuset.cpus.partition") != "root":
            return
        room = f"{partition}/{ROOM}"
        system.mkdir(room)
        try:
            cpus = CpuSet.parse(system.read(f"{partition}/cpuset.cpus.effective"))
            system.visit(room, cpus)
        finally:
            system.remove(room)


def tidy(system: System) -> None:
    """Remove what a run has left that was killed meanwhile."""
    for path in system.glob(f"/sys/fs/cgroup/*/{ROOM}/cgroup.procs"):
        with contextlib.suppress(OSError):
            system.remove(path.rpartition("/")[0])
