"""The forms in which /proc, /sys and the cgroups tell things: each is read here and nowhere else.

Texts in, values out; or the file itself, which this kernel or guest may not have. What ``measure``
counts is in ``measure/counters.py``. Linux Documentation/filesystems/proc.rst, proc(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet

if TYPE_CHECKING:
    from mdguest.system import System


def text(system: System, path: str) -> str:
    """A file's text; empty where there is none that can be read."""
    try:
        return system.read(path)
    except OSError:
        return ""


def printable(name: str) -> str:
    """A name that anybody may have chosen, for messages."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def cpu_list(system: System, path: str) -> CpuSet:
    """A list file's CPUs; none where the file is missing, or says ``(null)`` as nohz_full may."""
    try:
        return CpuSet.parse(text(system, path))
    except ValueError:
        return EMPTY


def mask(cpus: CpuSet) -> str:
    """The kernel's mask form: hexadecimal, groups of 32 bits, ``f,ffffffff``."""
    words = [f"{cpus.mask & 0xFFFFFFFF:08x}"]
    rest = cpus.mask >> 32
    while rest:
        words.append(f"{rest & 0xFFFFFFFF:08x}")
        rest >>= 32
    return ",".join(reversed(words)).lstrip("0") or "0"


def from_mask(text: str) -> CpuSet:
    return CpuSet(int(text.replace(",", "") or "0", 16))


_KERNEL_THREAD = 0x00200000
_NO_SETAFFINITY = 0x04000000
"""PF_KTHREAD and PF_NO_SETAFFINITY: include/linux/sched.h."""
_ALLOWED = "Cpus_allowed_list:"


class Stat(NamedTuple):
    """What /proc/pid/stat tells of a task; its name may have any characters."""

    tid: int
    name: str
    """What the task calls itself, with ``?`` for what would upset a terminal or a log."""
    state: str
    parent: int
    flags: int
    started: int
    """In clock ticks since boot."""
    cpu: int
    """Where it ran last."""

    @property
    def is_kernel(self) -> bool:
        return bool(self.flags & _KERNEL_THREAD)

    @property
    def is_movable(self) -> bool:
        """Whether its affinity can be set: it is not bound to its CPU, and has not ended."""
        return not self.flags & _NO_SETAFFINITY and self.state not in "ZX"


def stat(text: str) -> Stat:
    """Raises ValueError or IndexError for what is no such text."""
    head, _, rest = text.rpartition(") ")
    tid, _, name = head.partition(" (")
    fields = rest.split(" ")  # from field 3 on
    return Stat(
        tid=int(tid),
        name=printable(name),
        state=fields[0],
        parent=int(fields[1]),
        flags=int(fields[6]),
        started=int(fields[19]),
        cpu=int(fields[36]) if len(fields) > 36 else 0,
    )


def allowed(system: System, thread: str) -> CpuSet:
    """The affinity of a thread (``12/task/13``) with the CPUs that are offline, which
    sched_getaffinity(2) leaves out. Raises OSError where it has ended.
    """
    lines = system.read(f"/proc/{thread}/status").splitlines()
    found = (line[len(_ALLOWED) :] for line in lines if line.startswith(_ALLOWED))
    return CpuSet.parse(next(found, ""))


def cgroup(system: System, process: int | str) -> str:
    """A process's cgroup (version 2), below the root; ``12/task/13`` is a thread.

    Raises OSError where it has ended.
    """
    lines = system.read(f"/proc/{process}/cgroup").splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "/")


def environment(system: System, process: int) -> dict[str, str]:
    """A process's variables; none where they may not be read."""
    pairs = (entry.partition("=") for entry in text(system, f"/proc/{process}/environ").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def arguments(system: System, process: int) -> list[str]:
    """The words of a process's command line; none where it has ended."""
    return text(system, f"/proc/{process}/cmdline").rstrip("\0").split("\0")


def is_populated(system: System, group: str) -> bool:
    """Whether a cgroup, or one below it, has a process."""
    return "populated 1" in text(system, f"{group}/cgroup.events")


def boot_id(system: System) -> str:
    """What tells this boot from others."""
    return system.read("/proc/sys/kernel/random/boot_id")


def uptime(system: System) -> int:
    """The time since boot in clock ticks, of which there are a hundred in a second."""
    return int(float(system.read("/proc/uptime").split()[0]) * 100)
