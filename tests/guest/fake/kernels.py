"""What differs between kernels, and the machine that they run on."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from mdguest.cpuset import EMPTY, CpuSet


class Crashed(BaseException):
    """The guest is dead: its kernel oopsed or hangs. No tool may get here."""


@dataclass(frozen=True)
class Kernel:
    """A release and what it is like. Reasons are those of kernel/cgroup/cpuset.c."""

    release: str
    version: tuple[int, int]

    @property
    def isolated(self) -> bool:
        """Whether it knows isolated partitions, and says why one is invalid."""
        return self.version >= (6, 1)

    @property
    def keeps_masks(self) -> bool:
        """Whether a task's own affinity outlives changes of its cpuset."""
        return self.version >= (6, 2)

    @property
    def keeps_kernel_masks(self) -> bool:
        """Whether that also holds for what the kernel gave to its own threads."""
        return self.version >= (7, 0)

    @property
    def exclusive(self) -> bool:
        """Whether there is cpuset.cpus.exclusive."""
        return self.version >= (6, 7)

    @property
    def workqueues_follow(self) -> bool:
        """Whether unbound workqueues leave isolated partitions, and the root lists those."""
        return self.version >= (6, 8)

    @property
    def rewrite_heals(self) -> bool:
        """Whether writing the same state again has an invalid partition looked at again."""
        return self.version >= (6, 12)

    @property
    def loses_cpus(self) -> bool:
        """Whether an invalid partition that is valid again keeps what it no longer asks for."""
        return self.version == (6, 12)

    @property
    def leaves_rescuers(self) -> bool:
        """Whether workqueue rescuers stay on a partition's CPUs."""
        return self.version == (6, 12)

    @property
    def modern(self) -> bool:
        """Linux 7: siblings are clipped, cpusets can be emptied, hotplug leaves partitions be."""
        return self.version >= (7, 0)

    @property
    def managed(self) -> int:
        """The error of who would move an interrupt that the kernel manages."""
        return errno.EPERM if self.version >= (6, 12) else errno.EIO

    def reason(self, name: str) -> str:
        later = _LATER if self.exclusive else {}
        return later.get(name) or _REASONS[name]


_REASONS = {
    "cpus": "Invalid cpu list in cpuset.cpus",
    "invalid parent": "Parent is an invalid partition root",
    "parent": "Parent is not a partition root",
    "exclusive": "Cpu list in cpuset.cpus not exclusive",
    "all": "Parent unable to distribute cpu downstream",
    "hotplug": "No cpu available due to hotplug",
    "empty": "cpuset.cpus is empty",
}
_LATER = {
    "cpus": "Invalid cpu list in cpuset.cpus.exclusive",
    "empty": "cpuset.cpus and cpuset.cpus.exclusive are empty",
    "housekeeping": "partition config conflicts with housekeeping setup",
}

KERNELS = {
    "5.15": Kernel("5.15.0-119-generic", (5, 15)),
    "6.1": Kernel("6.1.0-18-cloud-amd64", (6, 1)),
    "6.12": Kernel("6.12.9+deb13-cloud-amd64", (6, 12)),
    "7.2": Kernel("7.2.1+deb14-cloud-amd64", (7, 2)),
}


@dataclass(frozen=True)
class Shape:
    """The guest's CPUs and how it was booted."""

    present: CpuSet
    online: CpuSet
    possible: CpuSet
    numa: tuple[CpuSet, ...] = ()
    cores: tuple[CpuSet, ...] = ()
    isolcpus: CpuSet = EMPTY
    nohz_full: CpuSet = EMPTY
    cmdline: str = field(default="BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet")
