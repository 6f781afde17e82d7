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
from mdguest.exemption import may_be_exempt
from mdguest.facts import POOL, RAW_POOL
from mdguest.facts.place import Place, place, slice_path
from mdguest.isolation.wants.groups import asked_of
from mdguest.isolation.wants.scene import is_exempt, own_cpus, top_of
from mdguest.isolation.wants.tasks import chosen_by

if TYPE_CHECKING:
    from mdguest.facts import Facts, Group, Task
    from mdguest.isolation.wants.scene import Scene

_OF_THE_POOL = dict.fromkeys((POOL, RAW_POOL), "the pool's")
_NAMED = 3
"""Threads of one claim that are named; the others are counted."""


@dataclass(frozen=True)
class Claim:
    """One unit, cgroup or process outside the pool that asked for dedicated CPUs."""

    place: Place
    how: str
    """``AllowedCPUs=``, ``cpuset.cpus``, ``CPUAffinity=``, or ``affinity``."""
    cpus: CpuSet
    """All that it asked for."""
    dedicated: CpuSet
    """What of these the pool owns."""
    programs: tuple[tuple[str, int], ...] = ()
    """Names and numbers of the threads whose affinity it is."""
    running: bool = True
    home: str = POOL
    """The slice whose CPUs these are; empty where they are pods'."""

    @property
    def where(self) -> str:
        """The systemd unit, else the cgroup: ``ovs-vswitchd.service``, ``/docker/4e1f``."""
        return self.place.name

    @property
    def threads(self) -> tuple[str, ...]:
        """``pmd-c03/id:7 (1234)``."""
        return tuple(f"{name} ({tid})" for name, tid in self.programs)

    @property
    def who(self) -> str:
        named = ", ".join(self.threads[:_NAMED])
        more = len(self.threads) - _NAMED
        threads = f", {'thread' if len(self.threads) == 1 else 'threads'} {named}" if named else ""
        return f"{self.where}{threads}{f' and {more} more' if more > 0 else ''}"

    @property
    def whose(self) -> str:
        return {**_OF_THE_POOL, "": "the pods'"}.get(self.home, f"{self.home}'s")

    @property
    def asked(self) -> str:
        return f"CPU {self.cpus} by {self.how}"

    @property
    def remedy(self) -> str:
        """The line that mends it."""
        if self.place.path == f"/{self.where}" and may_be_exempt(self.where):
            return f"add {self.where}={self.dedicated} to MDGUEST_EXEMPT"
        home = self.home or "NAME.slice"
        exempt = "" if self.home else f", and MDGUEST_EXEMPT={home}={self.dedicated}"
        return self.place.way_to(home, self.dedicated, home in _OF_THE_POOL) + exempt

    @property
    def line(self) -> str:
        return (
            f"{self.who}: asked for {self.asked}, and CPU {self.dedicated} is {self.whose}, "
            f"so that it gets shared CPUs; to mend it: {self.remedy}"
        )


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
    names = (*claim.place.names(), *(name for name, _ in claim.programs))
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _taken(scene: Scene, cpus: CpuSet, path: str) -> CpuSet:
    """What of a set that was chosen in this cgroup is dedicated to others; none where it was no
    choice, or where the cgroup has CPUs of its own among these.
    """
    own = own_cpus(scene, path)
    inside = is_exempt(scene, path) and top_of(path) not in scene.cpus.exempt
    if inside or _is_wide(scene, cpus) or (own and own & cpus):
        return EMPTY
    return cpus & scene.cpus.dedicated


def _is_wide(scene: Scene, cpus: CpuSet) -> bool:
    """Whether a set is all CPUs, or whole NUMA cells that have shared ones, too: who asks for these
    wants to be near some memory (numactl, numad), and still is.
    """
    able = scene.facts.everything
    cells = [cell for cell in scene.facts.numa if cell & cpus]
    whole = [cell for cell in cells if cell & able <= cpus and cell & scene.cpus.housekeeping]
    return able <= cpus or (bool(cells) and cells == whole)


def _home(scene: Scene, cpus: CpuSet) -> str:
    """The slice whose CPUs these are; empty where they are pods'."""
    here = POOL if scene.facts.systemd else RAW_POOL
    pool = "" if scene.mode == "kubernetes" else here
    exempt = scene.cpus.exempt.items()
    return next((name for name, own in exempt if cpus <= own), pool)


def _of_cgroups(scene: Scene) -> Iterator[Claim]:
    """cpusets of cgroups, at whatever depth, as they were before the isolation."""
    for group, path in _groups(scene.facts):
        cpus = asked_of(scene, group)
        taken = EMPTY if path.strip("/") in scene.cpus.exempt else _taken(scene, cpus, path)
        if taken and group.populated:
            found = place(path)
            how = "AllowedCPUs=" if found.is_its_units else "cpuset.cpus"
            yield Claim(found, how, cpus, taken, home=_home(scene, taken))


def _groups(facts: Facts) -> Iterator[tuple[Group, str]]:
    for group in (*facts.groups, *facts.nested):
        yield group, group.below


def _of_units(scene: Scene) -> Iterator[Claim]:
    """CPUAffinity= of units outside the pool: systemd fails to start such a one in a partition."""
    for unit in scene.facts.affine:
        path = unit.group or slice_path(unit.slice)
        taken = _taken(scene, unit.cpus, path)
        if taken and top_of(path) != POOL:
            home, runs = _home(scene, taken), bool(unit.group)
            found = place(unit.group or unit.name)
            yield Claim(found, "CPUAffinity=", unit.cpus, taken, running=runs, home=home)


def _of_threads(scene: Scene) -> Iterator[Claim]:
    """Affinities that programs chose, by the place where they run."""
    chosen = {
        task.tid: cpus
        for task in scene.facts.tasks
        if not task.kernel and (cpus := chosen_by(scene, task)) is not None
    }
    claimed: dict[tuple[str, CpuSet, CpuSet], list[Task]] = {}
    for task in scene.facts.tasks:
        cpus = chosen.get(task.tid)
        inherited = cpus is not None and chosen.get(task.parent) == cpus
        taken = EMPTY if cpus is None else _taken(scene, cpus, task.group)
        if cpus is None or not taken:
            continue
        key = (place(task.group).name, cpus, taken)
        if not inherited or key in claimed:
            claimed.setdefault(key, []).append(task)
    for (_, cpus, taken), tasks in claimed.items():
        programs = tuple((task.name, task.tid) for task in tasks)
        found, home = place(tasks[0].group), _home(scene, taken)
        yield Claim(found, "affinity", cpus, taken, programs, home=home)
