"""Is it as it should be? The plan's view of the facts, and what the kernel made of the pool."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY
from mdguest.exemption import cpus_of
from mdguest.facts.kubernetes import CLAIMS_DRIVER, RUNTIMES, is_of_pods
from mdguest.isolation.plan import WHY_LACKING
from mdguest.knobs.interrupts import no_vector
from mdguest.knobs.kind import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mdguest.cpuset import CpuSet
    from mdguest.facts import Facts, Task
    from mdguest.facts.cpu_manager import CpuManager
    from mdguest.isolation.plan import Plan
    from mdguest.isolation.state import State
    from mdguest.isolation.steps import Step


def problems(made: Plan, facts: Facts, state: State, now: float | None = None) -> list[Problem]:
    """What is wrong; empty where the dedicated CPUs are isolated as well as this guest can."""
    age = (time.time() if now is None else now) - state.applied_at
    found = [_problem(step) for step in made.changes if not _pending(step, age)]
    checks = (_unseen, _others, _lacking, _newcomers, _cpu_managers, _pods, _astray)
    if state.undone:
        made = replace(made, lacking={})
    others = [problem for check in checks for problem in check(made, facts)]
    others += _crowded(made, facts, state)
    return [
        *found,
        *_pool(made, facts),
        *_slices(made, facts),
        *(replace(problem, heals=False) for problem in others),
    ]


def _pending(step: Step, age: float) -> bool:
    """Whether it has not had its time yet, or does not say."""
    silent = bool(step.now) and step.now == step.kind.silent
    return step.young or silent or 0 <= age < step.kind.seconds


def _problem(step: Step) -> Problem:
    return Problem(step.title, step.shown(step.now), step.shown(step.want), step.why)


def _unseen(made: Plan, facts: Facts) -> list[Problem]:
    """A /proc that hides processes: who is not seen may be anywhere."""
    if not made.mode or not facts.hidden:
        return []
    why = "it is mounted with hidepid=; run this with all of root's capabilities"
    return [Problem("/proc", "it hides processes", "all of them", why)]


def _others(made: Plan, facts: Facts) -> list[Problem]:
    """What each kind of knob has to say beyond its value."""
    if not made.mode:
        return []
    return [problem for seen in facts.others.values() for problem in seen.problems(made.dedicated)]


def _astray(made: Plan, facts: Facts) -> list[Problem]:
    """Interrupts that come to dedicated CPUs, whatever they were told."""
    return [
        Problem(
            irq.title,
            f"it comes to CPU {irq.astray}",
            f"CPU {irq.cpus}, as it was told",
            no_vector(irq.cpus),
        )
        for irq in facts.irqs
        if irq.astray & made.dedicated
    ]


def _crowded(made: Plan, facts: Facts, state: State) -> list[Problem]:
    """Interrupts that had to stay on dedicated CPUs."""
    return [
        Problem(
            irq.title,
            f"CPU {irq.cpus}",
            f"CPU {made.housekeeping}",
            no_vector(made.housekeeping),
        )
        for irq in facts.irqs
        if state.crowded.get(str(irq.number)) == irq.title and irq.cpus & made.dedicated
    ]


def _lacking(made: Plan, facts: Facts) -> list[Problem]:
    """Exempt slices whose CPUs a changed layout has taken away."""
    return [
        Problem(
            name,
            f"CPU {left}" if (left := made.exempt.get(name)) else "no CPU of its own",
            f"CPU {(left or EMPTY) | lost}",
            f"CPU {lost}: {WHY_LACKING}",
        )
        for name, lost in made.lacking.items()
    ]


def _newcomers(made: Plan, facts: Facts) -> list[Problem]:
    """Kubernetes where the CPUs are in a pool: what it gives a pod of them is not the pod's."""
    if not facts.kubernetes or made.mode in ("", "kubernetes"):
        return []
    other = "MDGUEST_MODE=kubernetes, once the pool is empty"
    mend = other if facts.systemd else "mode kubernetes, which leaves them to pods, needs systemd"
    why = f"its guaranteed pods get shared CPUs; {mend}"
    found = f"here, in mode {made.mode}"
    return [Problem(facts.kubernetes[0], found, "mode kubernetes", why)]


def _cpu_managers(made: Plan, facts: Facts) -> list[Problem]:
    """What the kubelet makes of the dedicated CPUs, by what it remembers and is told."""
    if made.mode != "kubernetes":
        return []
    claims = any(task.name == CLAIMS_DRIVER and is_of_pods(task.group) for task in facts.tasks)
    managers = (one for one in facts.cpu_managers if not (claims and one.policy == "none"))
    return [problem for manager in managers for problem in _cpu_manager(made, manager)]


def _cpu_manager(made: Plan, manager: CpuManager) -> list[Problem]:
    if not manager.policy:
        why = "the kubelet does not start with it: drain the node and remove this file"
        return [Problem(manager.path, "unreadable", "the state of a CPU manager", why)]
    if manager.policy != "static":
        why = "no pod gets a CPU to itself; see mdguest render kubelet"
        return [Problem(manager.path, f"policy {manager.policy}", "policy static", why)]
    problems = []
    reserved = made.housekeeping | cpus_of(made.exempt)
    wrong = manager.exclusive & reserved
    if wrong:
        why = "these are shared, or an exempt slice's; drain the node and remove this file"
        problems.append(
            Problem(manager.path, f"CPU {wrong} given to pods", f"of CPU {made.pool}", why)
        )
    withheld = manager.reserved & made.pool
    if withheld or not reserved <= manager.reserved:
        found = f"the kubelet reserves CPU {manager.reserved or 'none'}"
        why = "what mdguest render kubelet prints was not taken, or is another by now"
        keep = "where that is meant, MDGUEST_HOUSEKEEPING"
        lost = f"; no pod gets CPU {withheld} to itself: {keep}" if withheld else ""
        problems.append(Problem("kubelet", found, f"CPU {reserved}", why + lost))
    return problems


def _pods(made: Plan, facts: Facts) -> list[Problem]:
    """Pods that have dedicated CPUs and cannot use them: an affinity that they were born with.

    One that chose shared CPUs itself is as it wants to be.
    """
    if made.mode != "kubernetes":
        return []
    tasks = {task.tid: task for task in facts.tasks}
    stuck = [
        task
        for task in facts.tasks
        if is_of_pods(task.group)
        and task.room & made.pool
        and not task.cpus & made.pool
        and task.cpus in [cpus & task.room for cpus in _handed_down(task, tasks, facts)]
    ]
    why = (
        "its cgroup has dedicated CPUs, its affinity none: CPUAffinity= in "
        "/etc/systemd/system.conf, or of the container runtime's unit, is handed down to pods; "
        "remove it there"
    )
    return [
        Problem(f"pod's task {task.tid} ({task.name})", f"CPU {task.cpus}", f"CPU {task.room}", why)
        for task in stuck
    ]


def _handed_down(task: Task, tasks: Mapping[int, Task], facts: Facts) -> Iterator[CpuSet]:
    """The affinities that a pod's program may be born with: systemd's, its runtime's, and what the
    first of its ancestors outside the pods has chosen.
    """
    if facts.systemd:
        yield facts.systemd.affinity
    yield from (unit.cpus for unit in facts.affine if unit.name in RUNTIMES)
    for _ in tasks:  # read one by one, they may seem to be each other's children
        if not is_of_pods(task.group) or task.parent not in tasks:
            break
        task = tasks[task.parent]
    if not is_of_pods(task.group) and task.chosen:
        yield task.cpus


def _pool(made: Plan, facts: Facts) -> list[Problem]:
    """A pool that the kernel clipped: it gives other CPUs than it was told, without an error."""
    pool = facts.pool
    expected = made.pool & facts.online
    if made.mode in ("", "kubernetes") or pool is None or not expected:
        return []
    effective = facts.pool_cpus
    if effective == expected:
        return []
    why = "the kernel gives the pool other CPUs than it was told"
    return [Problem(f"{pool.name} cpuset.cpus.effective", str(effective), str(expected), why)]


def _slices(made: Plan, facts: Facts) -> list[Problem]:
    """The same of exempt slices."""
    seen = [(name, facts.slices[name].effective, cpus) for name, cpus in made.exempt.items()]
    why = "the kernel gives the slice other CPUs than it was told"
    return [
        Problem(f"{name} cpuset.cpus.effective", str(effective), str(cpus & facts.online), why)
        for name, effective, cpus in seen
        if effective is not None and cpus & facts.online and effective != cpus & facts.online
    ]
