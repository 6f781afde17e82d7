"""Threads with an affinity of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Callable

from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.facts import Knob
from mdguest.isolation.steps import Step
from mdguest.isolation.wants.exempt import exempt, partitions
from mdguest.isolation.wants.groups import fence
from mdguest.isolation.wants.pool import partition, pool, raw_pool
from mdguest.isolation.wants.scene import is_exempt, own_cpus, top_of

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.isolation.wants.scene import Scene

YOUNG = 12000
"""Clock ticks, two minutes: ``watch`` looks at everything once in one, at new threads sooner."""


def tasks(scene: Scene) -> Iterator[Step]:
    """Threads with an affinity of their own: kept off the dedicated CPUs, and otherwise given back
    what Linux before 6.2 forgets whenever their cpuset changes.
    """
    settled = _settled(scene)
    for task in scene.facts.tasks:
        if not is_exempt(scene, task.group):
            yield from _outside(scene, task, settled)
        elif scene.mode != "kubernetes" or top_of(task.group) in scene.cpus.exempt:
            yield from _inside(scene, task)


def _outside(scene: Scene, task: Task, settled: bool) -> Iterator[Step]:
    base = chosen_by(scene, task)
    touches = task.cpus & scene.cpus.dedicated
    if base is None and touches and (settled or (task.kernel and _fenced(scene))):
        base = _unclipped(scene, task)
    if base is not None:
        why = "its affinity is kept" if not touches else f"it may run on CPU {touches}"
        step = _affinity(scene, task, base, scene.cpus.cut_affinity(base), why)
        yield replace(step, young=_is_young(scene, task))


def _is_young(scene: Scene, task: Task) -> bool:
    """Whether a kernel thread was just born: before Linux 7 it may run anywhere then, whatever is
    isolated. systemd 257 has a new one at each daemon-reload (psimon).
    """
    return task.kernel and task.started > scene.facts.uptime - YOUNG


def _inside(scene: Scene, task: Task) -> Iterator[Step]:
    clip = _clip_to(own_cpus(scene, task.group) or EMPTY, task)
    base = _wish(scene, task, clip)
    if base is not None:
        yield _affinity(scene, task, base, clip(base), "its affinity is kept")


def _clip_to(own: CpuSet, task: Task) -> Callable[[CpuSet], CpuSet]:
    """What is left of an affinity in a cgroup that has these CPUs."""
    return lambda cpus: cpus & own & task.room or task.cpus


def _wish(scene: Scene, task: Task, *clips: Callable[[CpuSet], CpuSet]) -> CpuSet | None:
    """The affinity that a task was given, before the pool's changes took of it; None: none."""
    was = scene.originals.get(Knob("affinity", task.id))
    remembered = None if was is None else CpuSet.parse(was)
    if remembered is not None:
        lost = scene.settling and (task.kernel or not task.chosen)
        cut = [clip(remembered) for clip in clips]
        if lost or task.cpus in (*cut, *(cpus & task.room for cpus in cut)):
            return remembered
    if not task.chosen:
        return None
    return _unclipped(scene, task) if task.kernel else task.cpus | task.offline


def chosen_by(scene: Scene, task: Task) -> CpuSet | None:
    """The affinity that a task outside the pool chose, or was given, before the isolation."""
    own = scene.cpus.exempt.get(top_of(task.group))
    if own:
        return _wish(scene, task, _clip_to(own, task))
    return _wish(scene, task, *(cpus.cut_affinity for cpus in (scene.cpus, *scene.before)))


def _unclipped(scene: Scene, task: Task) -> CpuSet:
    """What a task may use, whatever is offline or the kernel itself took of it when CPUs were
    isolated: some of the parts that the guest was divided into.
    """
    usual = scene.facts.usual(task)
    able = usual & scene.facts.online
    parts = (part & able for part in _parts(scene))
    taken = union(part for part in parts if not part & task.cpus)
    return usual if task.cpus == able - taken else task.cpus


def _parts(scene: Scene) -> Iterator[CpuSet]:
    """The CPUs that partitions have, or had until now.

    One that became invalid leaves kernel threads where they are (Linux 6.1), as do those of exempt
    slices that are dissolved when the kernel refuses the pool's (5.15), and all that are not
    isolated (7). They may use what of the pool is balanced by itself (7).
    """
    yield from (share.dedicated for share in scene.before)
    if scene.refused and scene.facts.release < (6, 2):
        yield from scene.cpus.exempt.values()
    ours = [group for group in scene.facts.groups if scene.facts.is_ours(group)]
    for group in (*ours, scene.facts.pool):
        if group and group.is_partition:
            yield group.effective or EMPTY


def _affinity(scene: Scene, task: Task, base: CpuSet, want: CpuSet, why: str) -> Step:
    kind = "kernel thread" if task.kernel else "task"
    return Step(
        Knob("affinity", task.id),
        str(task.cpus),
        str(want),
        why,
        f"{kind} {task.tid} ({task.name})",
        was=str(base),
        reads=str(want & scene.facts.online),
        keep=True,
    )


def _fenced(scene: Scene) -> bool:
    return fence in scene.wants


def _settled(scene: Scene) -> bool:
    """Whether all that would move a task by itself is in place."""
    pools = (pool, raw_pool, exempt, partition, partitions)
    structure = (fence, pool, exempt) if _fenced(scene) else pools
    steps = (step for want in structure if want in scene.wants for step in want(scene))
    return not any(step.needed for step in steps)
