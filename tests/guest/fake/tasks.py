"""Tasks, and what the kernel makes of their affinities when their cpuset changes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet

if TYPE_CHECKING:
    from tests.guest.fake.cpusets import Cgroup
    from tests.guest.fake.kernels import Kernel

KERNEL_THREAD = 0x00200000
NO_SETAFFINITY = 0x04000000


def failure(number: int, path: str | None = None) -> OSError:
    """The OSError that Python raises for an errno: with a path where open() failed."""
    message = os.strerror(number)
    return OSError(number, message, path) if path else OSError(number, message)


@dataclass(eq=False)
class Task:
    """A thread. ``mask`` is what the scheduler heeds, ``user`` what somebody asked for."""

    tid: int
    name: str
    group: Cgroup
    mask: CpuSet
    user: CpuSet | None = None
    pid: int = 0
    flags: int = 0
    start: int = 0
    state: str = "S"
    parent: int = 1

    @property
    def kernel(self) -> bool:
        return bool(self.flags & KERNEL_THREAD)

    @property
    def bound(self) -> bool:
        return bool(self.flags & NO_SETAFFINITY)

    def stat(self) -> str:
        """proc(5), /proc/pid/stat: field 9 is the flags, field 22 the start time."""
        before = [
            self.state,
            self.parent,
            1,
            1,
            0,
            -1,
            self.flags,
            *[0] * 6,
            3,
            1,
            20,
            0,
            1,
            0,
            self.start,
        ]
        return f"{self.tid} ({self.name}) " + " ".join(map(str, [*before, *[0] * 30]))

    def refit(self, room: CpuSet, kernel: Kernel) -> None:
        """The kernel moves the task: its cpuset has another room now."""
        keeps = kernel.keeps_kernel_masks if self.kernel else kernel.keeps_masks
        wish = self.user if keeps and self.user is not None else room
        self.mask = (wish & room) or room


@dataclass
class Tasks:
    """All threads, by number, and those that were killed."""

    kernel: Kernel
    by_tid: dict[int, Task] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    kernel_room: CpuSet | None = None
    """Where Linux 7 has its own threads."""
    version: int = 0
    """Counts those that come and go."""

    def __iter__(self) -> Iterator[Task]:
        return iter(self.by_tid.values())

    def find(self, tid: int) -> Task:
        if tid not in self.by_tid:
            raise failure(errno.ESRCH)
        return self.by_tid[tid]

    def set_affinity(self, task: Task, cpus: CpuSet, online: CpuSet) -> None:
        """sched_setaffinity(2): within the cpuset, and on some CPU that is there; before Linux 6.2
        whatever is offline is forgotten.
        """
        cpus = cpus if self.kernel.keeps_masks else cpus & online
        is_free = task.kernel and self.kernel.modern
        allowed = cpus if is_free else cpus & task.group.cpuset.room
        if task.bound or not allowed & online:
            raise failure(errno.EINVAL)
        task.user, task.mask = cpus, allowed

    def within(self, group: Cgroup) -> Iterator[Task]:
        return (task for task in self if task.group.is_below(group))

    def of(self, group: Cgroup) -> Iterator[Task]:
        """Those whose cpuset this is."""
        return (task for task in self if task.group.cpuset is group)

    def add(self, task: Task) -> None:
        self.by_tid[task.tid] = task
        self.version += 1

    def drop(self, task: Task) -> None:
        del self.by_tid[task.tid]
        self.version += 1

    def kill(self, group: Cgroup) -> None:
        for task in list(self.within(group)):
            self.killed.append(task.name)
            self.drop(task)

    def refit(self, group: Cgroup) -> None:
        """The room of a cpuset has changed."""
        for task in self.of(group):
            rescuer = self.kernel.leaves_rescuers and task.name.startswith("kworker/R-")
            if not (task.kernel and (task.bound or rescuer or self.kernel.modern)):
                task.refit(group.room, self.kernel)

    def refit_kernel(self, room: CpuSet) -> None:
        """Linux 7: what isolated partitions leave; others are nothing to its threads."""
        if room == self.kernel_room:
            return
        self.kernel_room = room
        for task in self:
            if task.kernel and not task.bound:
                task.refit(room, self.kernel)

    def chase(self, online: CpuSet) -> None:
        """CPUs went: who has none left is put somewhere, whatever it asked for."""
        for task in self:
            if not task.mask & online and not task.bound:
                task.mask = task.group.cpuset.room
