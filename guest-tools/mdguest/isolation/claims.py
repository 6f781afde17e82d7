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

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.facts import POOL, UNITS
from mdguest.isolation.wants.groups import asked_of
from mdguest.isolation.wants.scene import is_exempt, own_cpus, top_of
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
    home: str = POOL
    """The slice whose CPUs these are; empty where they are pods'."""

    @property
    def who(self) -> str:
        named = ", ".join(self.threads[:_NAMED])
        more = len(self.threads) - _NAMED
        threads = f", {'thread' if len(self.threads) == 1 else 'threads'} {named}" if named else ""
        return f"{self.where}{threads}{f' and {more} more' if more > 0 else ''}"

    @property
    def whose(self) -> str:
        return {POOL: "the pool's", "": "the pods'"}.get(self.home, f"{self.home}'s")

    @property
    def asked(self) -> str:
        return f"CPU {self.cpus} by {self.how}"

    @property
    def remedy(self) -> str:
        """The line that mends it."""
        home = self.home or "NAME.slice"
        exempt = "" if self.home else f", and MDGUEST_EXEMPT={home}={self.dedicated}"
        if _is_container(self.where):
            return f"start the container with --cgroup-parent={home}{exempt}"
        if self.where.startswith("machine-") and not self.where.startswith("machine-qemu"):
            return f"start it with systemd-nspawn --slice={home}{exempt}"
        if self.where.endswith(".service"):
            return f"systemctl edit {self.where}: [Service] Slice={home}{exempt}"
        if home == POOL:
            return "start it by mdguest run --cpus LIST -- COMMAND"
        return f"start it by systemd-run --scope --slice={home} COMMAND{exempt}"

    @property
    def line(self) -> str:
        return (
            f"{self.who}: asked for {self.asked}, and CPU {self.dedicated} is {self.whose}, "
            f"so that it gets shared CPUs; to mend it: {self.remedy}"
        )


_CONTAINERS = ("docker-", "libpod-", "cri-containerd-", "crio-", "/docker/", "/libpod", "nspawn")


def _is_container(where: str) -> bool:
    return any(mark in where for mark in _CONTAINERS)


def claims(scene: Scene) -> tuple[Claim, ...]:
    """All who lose dedicated CPUs by the isolation, or would; each place once for each set."""
    kept: list[Claim] = []
    for claim in (*_of_cgroups(scene), *_of_units(scene), *_of_threads(scene)):
        if not any(_says_it(earlier, claim) for earlier in kept):
            kept.append(claim)
    return tuple(claim for claim in kept if not _is_ignored(claim, scene.settings.ignored()))


def _says_it(earlier: Claim, claim: Claim) -> bool:
    """Whether a unit has asked for this before: a runtime may give the cpuset to its scope, and
    again to the cgroup below it (crun 1.21).
    """
    if earlier.where != claim.where or earlier.how == "affinity":
        return False
    return claim.cpus <= earlier.cpus if claim.how == "cpuset.cpus" else claim.cpus == earlier.cpus


def _is_ignored(claim: Claim, patterns: Iterable[str]) -> bool:
    names = (
        claim.where,
        claim.where.rpartition("/")[2],
        *(t.partition(" ")[0] for t in claim.threads),
    )
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _taken(scene: Scene, cpus: CpuSet, path: str) -> CpuSet:
    """What of a set that was chosen in this cgroup is dedicated to others; none where it was no
    choice, or where the cgroup has CPUs of its own among these.
    """
    own = own_cpus(scene, path)
    inside = is_exempt(scene, path) and top_of(path) not in scene.cpus.exempt
    if inside or scene.facts.everything <= cpus or (own and own & cpus):
        return EMPTY
    return cpus & scene.cpus.dedicated


def _home(scene: Scene, cpus: CpuSet) -> str:
    """The slice whose CPUs these are; empty where they are pods'."""
    pool = "" if scene.mode == "kubernetes" else POOL
    exempt = scene.cpus.exempt.items()
    return next((name for name, own in exempt if cpus <= own), pool)


def _of_cgroups(scene: Scene) -> Iterator[Claim]:
    """cpusets of cgroups, at whatever depth, as they were before the isolation."""
    for group, path in _groups(scene.facts):
        cpus = asked_of(scene, group)
        taken = EMPTY if path.strip("/") in scene.cpus.exempt else _taken(scene, cpus, path)
        if taken and group.populated:
            how = "AllowedCPUs=" if path.endswith(UNITS) else "cpuset.cpus"
            yield Claim(_where(path), how, cpus, taken, home=_home(scene, taken))


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
        taken = _taken(scene, unit.cpus, unit.group or f"/{unit.slice}")
        if taken and POOL not in (top_of(unit.group), unit.slice):
            home, runs = _home(scene, taken), bool(unit.group)
            yield Claim(unit.name, "CPUAffinity=", unit.cpus, taken, running=runs, home=home)


def _of_threads(scene: Scene) -> Iterator[Claim]:
    """Affinities that programs chose, by the place where they run."""
    chosen = {
        task.tid: cpus
        for task in scene.facts.tasks
        if not task.kernel and (cpus := chosen_by(scene, task)) is not None
    }
    places: dict[tuple[str, CpuSet, CpuSet], list[Task]] = {}
    for task in scene.facts.tasks:
        cpus = chosen.get(task.tid)
        inherited = cpus is not None and chosen.get(task.parent) == cpus
        taken = EMPTY if cpus is None else _taken(scene, cpus, task.group)
        if cpus is None or not taken:
            continue
        place = (_where(task.group), cpus, taken)
        if not inherited or place in places:
            places.setdefault(place, []).append(task)
    for (where, cpus, taken), tasks in places.items():
        threads = tuple(f"{task.name} ({task.tid})" for task in tasks)
        yield Claim(where, "affinity", cpus, taken, threads, home=_home(scene, taken))
