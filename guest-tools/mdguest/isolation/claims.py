"""Who asked for dedicated CPUs outside the pool: isolated, they get shared ones in silence.

The kernel clips their cpuset or affinity, and says nothing; only this tool sees both sides. A claim
is a set that somebody chose: one that covers all CPUs is no choice, nor is one that a process has
from its parent. Kernel threads choose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import POOL, UNITS
from mdguest.isolation.wants.groups import asked_of
from mdguest.isolation.wants.scene import is_exempt
from mdguest.isolation.wants.tasks import chosen_by

if TYPE_CHECKING:
    from mdguest.facts import Facts, Group, Task
    from mdguest.isolation.wants.scene import Scene

_NAMED = 3
"""Threads of one claim that are named; the others are counted."""


@dataclass(frozen=True)
class Claim:
    """One unit, cgroup or process outside the pool that asked for dedicated CPUs."""

    where: str
    """The systemd unit, else the cgroup: ``ovs-vswitchd.service``, ``/docker/4e1f``."""
    how: str
    """``AllowedCPUs=``, ``cpuset.cpus``, ``CPUAffinity=``, or ``affinity``."""
    cpus: CpuSet
    """All that it asked for."""
    dedicated: CpuSet
    """What of these the pool owns."""
    threads: tuple[str, ...] = ()
    """``pmd-c03/id:7 (1234)``: those whose affinity it is."""
    running: bool = True

    @property
    def who(self) -> str:
        named = ", ".join(self.threads[:_NAMED])
        more = len(self.threads) - _NAMED
        threads = f", {'thread' if len(self.threads) == 1 else 'threads'} {named}" if named else ""
        return f"{self.where}{threads}{f' and {more} more' if more > 0 else ''}"

    @property
    def asked(self) -> str:
        return f"CPU {self.cpus} by {self.how}"

    @property
    def remedy(self) -> str:
        """The line that mends it."""
        if _is_container(self.where):
            return f"start the container with --cgroup-parent={POOL}"
        if self.where.startswith("machine-") and not self.where.startswith("machine-qemu"):
            return f"start it with systemd-nspawn --slice={POOL}"
        if self.where.endswith(".service"):
            return f"systemctl edit {self.where}: [Service] Slice={POOL}"
        return "start it by mdguest run --cpus LIST -- COMMAND"

    @property
    def line(self) -> str:
        return (
            f"{self.who}: asked for {self.asked}, and CPU {self.dedicated} is the pool's, so that "
            f"it gets shared CPUs; to mend it: {self.remedy}"
        )


_CONTAINERS = ("docker-", "libpod-", "cri-containerd-", "crio-", "/docker/", "/libpod", "nspawn")


def _is_container(where: str) -> bool:
    return any(mark in where for mark in _CONTAINERS)


def claims(scene: Scene) -> tuple[Claim, ...]:
    """All who lose dedicated CPUs by the isolation, or would; each place once for each way."""
    found = [*_of_cgroups(scene), *_of_units(scene), *_of_threads(scene)]
    known = {(claim.where, claim.cpus) for claim in found if claim.how != "affinity"}
    kept = [
        claim
        for claim in found
        if claim.how != "affinity" or (claim.where, claim.cpus) not in known
    ]
    return tuple(claim for claim in kept if not _is_ignored(claim, scene.settings.ignored()))


def _is_ignored(claim: Claim, patterns: Iterable[str]) -> bool:
    names = (
        claim.where,
        claim.where.rpartition("/")[2],
        *(t.partition(" ")[0] for t in claim.threads),
    )
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _counts(cpus: CpuSet, scene: Scene) -> bool:
    """Whether a set is a choice that takes dedicated CPUs."""
    facts = scene.facts
    return bool(cpus & scene.cpus.dedicated) and not facts.everything <= cpus


def _of_cgroups(scene: Scene) -> Iterator[Claim]:
    """cpusets of cgroups, at whatever depth, as they were before the isolation."""
    for group, path in _groups(scene.facts):
        cpus = asked_of(scene, group)
        if _counts(cpus, scene) and not is_exempt(scene, path) and group.populated:
            how = "AllowedCPUs=" if path.endswith(UNITS) else "cpuset.cpus"
            yield Claim(_where(path), how, cpus, cpus & scene.cpus.dedicated)


def _groups(facts: Facts) -> Iterator[tuple[Group, str]]:
    for group in (*facts.groups, *facts.nested):
        yield group, group.below


def _where(path: str) -> str:
    """The innermost unit that a cgroup belongs to; else the cgroup."""
    names = path.split("/")
    return next((name for name in reversed(names) if name.endswith(UNITS)), path)


def _of_units(scene: Scene) -> Iterator[Claim]:
    """CPUAffinity= of units outside the pool: systemd fails to start such a one in a partition."""
    for unit in scene.facts.affine:
        outside = unit.group != f"/{POOL}" and not unit.group.startswith(f"/{POOL}/")
        if _counts(unit.cpus, scene) and outside and unit.slice != POOL:
            dedicated = unit.cpus & scene.cpus.dedicated
            yield Claim(unit.name, "CPUAffinity=", unit.cpus, dedicated, running=bool(unit.group))


def _of_threads(scene: Scene) -> Iterator[Claim]:
    """Affinities that programs chose, by the place where they run."""
    chosen = {
        task.tid: cpus
        for task in scene.facts.tasks
        if not task.kernel and (cpus := chosen_by(scene, task)) is not None
    }
    places: dict[tuple[str, CpuSet], list[Task]] = {}
    for task in scene.facts.tasks:
        cpus = chosen.get(task.tid)
        inherited = cpus is not None and chosen.get(task.parent) == cpus
        if cpus is None or not _counts(cpus, scene) or is_exempt(scene, task.group):
            continue
        place = (_where(task.group), cpus)
        if not inherited or place in places:
            places.setdefault(place, []).append(task)
    for (where, cpus), tasks in places.items():
        threads = tuple(f"{task.name} ({task.tid})" for task in tasks)
        yield Claim(where, "affinity", cpus, cpus & scene.cpus.dedicated, threads)
