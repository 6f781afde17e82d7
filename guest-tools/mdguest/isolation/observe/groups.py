"""The cgroups: those at the top, pods', those with CPUs of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mdguest.facts import CGROUP, Group, kubernetes
from mdguest.knobs import lost
from mdguest.knobs.files import read_file
from mdguest.knobs.units import allowed_cpus, dropin
from mdguest.procfs import cpu_list, is_populated, text

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.isolation.observe.units import Units
    from mdguest.system import System


def root(system: System) -> CpuSet | None:
    """What is left to the root of the cgroups, which alone is no partition and has no such file."""
    if system.exists(f"{CGROUP}/cpuset.cpus.partition"):
        return None
    return cpu_list(system, lost.ROOT) if system.exists(lost.ROOT) else None


def folders(system: System, path: str) -> list[str]:
    """The cgroups directly below one."""
    return [found.rpartition("/")[0] for found in system.glob(f"{path}/*/cgroup.procs")]


def pods_of(system: System) -> Iterator[str]:
    """The cgroups that Kubernetes has its pods in, wherever they are."""
    for depth in range(1, kubernetes.DEEPEST + 1):
        for path in system.glob(f"{CGROUP}{'/*' * (depth - 1)}/*kubepods*/cgroup.procs"):
            folder = path.rpartition("/")[0]
            below, above = folder[len(CGROUP) :], folder[len(CGROUP) : folder.rindex("/")]
            if kubernetes.is_of_pods(below) and not kubernetes.is_of_pods(above):
                yield folder


def top(system: System, path: str, pods: Iterable[str]) -> Iterator[str]:
    """The cgroups below the root; of one that has pods deeper down its parts, as it is no
    neighbour of theirs.
    """
    for folder in folders(system, path):
        if folder == lost.SPARE:
            continue  # of a run that was killed: nobody's
        if any(pod.startswith(f"{folder}/") for pod in pods):
            yield from top(system, folder, pods)
        else:
            yield folder


def nested(system: System, pool: str, units: Units) -> Iterator[Group]:
    """Cgroups below those at the top that were given CPUs of their own, or took some."""
    for path in _deeper(system, CGROUP):
        inside = path == pool or path.startswith(f"{pool}/")
        if not inside and (cpu_list(system, f"{path}/cpuset.cpus") or _is_remote(system, path)):
            yield group_at(system, path, units)


def _is_remote(system: System, path: str) -> bool:
    """Whether it is a partition all the same, by cpuset.cpus.exclusive alone (Linux 6.7)."""
    return text(system, f"{path}/cpuset.cpus.partition") in ("root", "isolated")


def _deeper(system: System, path: str) -> Iterator[str]:
    """Every cgroup that is at least two steps below the root, and has a cpuset."""
    pattern = f"{path}/*"
    while True:
        pattern += "/*"
        found = system.glob(f"{pattern}/cpuset.cpus")
        if not found:
            return
        yield from (file.rpartition("/")[0] for file in found)


def group_at(system: System, path: str, units: Units) -> Group:
    """A cgroup, whether or not it is there."""
    name = path.rpartition("/")[2]
    unit = name if name in units else ""
    return Group(
        path=path,
        unit=unit,
        asked=allowed_cpus(units.get(unit, {})),
        cpus=_cpus(system, f"{path}/cpuset.cpus"),
        effective=_cpus(system, f"{path}/cpuset.cpus.effective"),
        partition=text(system, f"{path}/cpuset.cpus.partition"),
        populated=is_populated(system, path),
        active=units.get(unit, {}).get("ActiveState") == "active",
        dropin=read_file(system, dropin(unit)) if unit else None,
    )


def _cpus(system: System, path: str) -> CpuSet | None:
    return cpu_list(system, path) if system.exists(path) else None
