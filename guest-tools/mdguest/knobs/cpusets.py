"""Settings of cgroups: cpusets and partitions. Linux Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP, RAW_POOL
from mdguest.knobs import lost
from mdguest.knobs.files import read_list
from mdguest.knobs.kind import Kind, same_cpus, same_text
from mdguest.knobs.waking import wake

if TYPE_CHECKING:
    from mdguest.system import System


def _write_cpus(system: System, path: str, value: str | None) -> None:
    if path == f"{CGROUP}/{RAW_POOL}/cpuset.cpus":
        lost.let_go(system, f"{CGROUP}/{RAW_POOL}")
    system.write(path, value or "")


def _write_root(system: System, _: str, value: str | None) -> None:
    lost.reclaim(system, CpuSet.parse(value or ""))


def _read_partition(system: System, path: str) -> str:
    return system.read(path)


def _write_partition(system: System, path: str, value: str | None) -> None:
    """Change a partition's state. An invalid one only heals over ``member`` (Linux 6.1); one that
    is right already is left alone, as tasks get in while it is a member.
    """
    now, want = system.read(path), value or "member"
    if "invalid" in now:
        system.write(path, "member")
    if now != want:
        system.write(path, want)


def _wake(system: System, path: str, value: str | None, moved: bool) -> None:
    if moved:
        wake(system, path.rpartition("/")[0])


def _read_controllers(system: System, path: str) -> str:
    return "cpuset" if "cpuset" in system.read(path).split() else ""


def _write_controllers(system: System, path: str, value: str | None) -> None:
    system.write(path, "+cpuset" if value else "-cpuset")


def _read_group(system: System, path: str) -> str | None:
    return "there" if system.exists(path) else None


def _write_group(system: System, path: str, value: str | None) -> None:
    if value:
        system.mkdir(path)
        return
    for below in system.glob(f"{path}/*/cgroup.procs"):  # subsets whose programs have ended
        system.remove(below.rpartition("/")[0])
    system.remove(path)


# The lockup watchdog's list is of this kind, too, and counts as if it moved tasks: no harm.
CPUS = Kind(read_list, _write_cpus, same_cpus, moves_tasks=True)
ROOT = Kind(read_list, _write_root, same_cpus)
PARTITION = Kind(
    _read_partition, _write_partition, same_text, moves_tasks=True, granted="member", finish=_wake
)
CONTROLLERS = Kind(_read_controllers, _write_controllers, same_text, moves_tasks=True)
GROUP = Kind(_read_group, _write_group, same_text, moves_tasks=True)
