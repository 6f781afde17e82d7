"""The way back: steps that put every knob to what was found before its first change."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from mdguest import knobs
from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP, POOL, RAW_POOL, Facts, Knob, Task
from mdguest.isolation.memory import Memory
from mdguest.isolation.steps import Step
from mdguest.isolation.wants.pool import SLICE_FILE

_RAW = f"{CGROUP}/{RAW_POOL}"
OF_THE_POOL = (
    Knob("unit", POOL),
    Knob("file", SLICE_FILE),
    Knob("list", f"{_RAW}/cpuset.cpus"),
    Knob("cgroup", _RAW),
    Knob("controllers", f"{CGROUP}/cgroup.subtree_control"),
)
"""What programs in the pool stand on."""


def restored(
    facts: Facts, memory: Memory, wanted: AbstractSet[Knob]
) -> tuple[list[Step], list[str]]:
    """Steps, last change first, for the knobs that nothing wants any longer; and what to tell.

    Affinities come in a pass of their own once all else is back, since changes of a cpuset lose
    them before Linux 6.2; and only in a full undo, as tasks come and go.
    """
    originals = memory.originals
    back = [knob for knob in reversed(list(originals)) if knob not in wanted]
    ended = {knob for knob in back if _has_ended(facts, knob)}
    back = [knob for knob in back if knob not in ended or (not wanted and knobs.of(knob).at_reload)]
    structure = [knob for knob in back if not knobs.of(knob).of_a_task and knob in facts.journalled]
    notes, now = [], facts.journalled
    kept = [knob for knob in structure if knob in OF_THE_POOL]
    if kept and facts.pool and facts.pool.populated:
        structure = [knob for knob in structure if knob not in OF_THE_POOL]
        name, again = facts.pool.name, "apply" if wanted else "undo"
        notes.append(f"programs still run in {name}; {again} again once they have ended removes it")
    steps = [_back(knob, now[knob], _was(facts, knob, originals[knob])) for knob in structure]
    unfinished = [
        step for step in steps if step.kind.at_reload or (step.needed and step.kind.moves_tasks)
    ]
    if not wanted and memory.isolated and not unfinished:
        steps += _affinities(facts, memory)
    return steps, notes


def _has_ended(facts: Facts, knob: Knob) -> bool:
    """Whether this is of a unit that has stopped. While CPUs are isolated it keeps its fence, for
    when it comes back; and to set a property of it would bring its cgroup back.
    """
    running = {group.unit for group in facts.groups}
    if facts.systemd and facts.systemd.pool_active:
        running.add(POOL)
    return knobs.unit(knob) not in ("", *running)


def _was(facts: Facts, knob: Knob, was: str | None) -> str | None:
    """What was found; but a slice in which programs run now is not taken from under them, and
    before Linux 7 its cpuset cannot be emptied again: all CPUs are as good as none.
    """
    lived_in = [group for group in facts.groups if group.populated]
    if knob in {Knob("unit", group.unit) for group in lived_in}:
        return facts.journalled[knob]
    if knob in {Knob("cgroup", group.path) for group in lived_in}:
        return facts.journalled[knob]
    cpusets = {Knob("list", f"{group.path}/cpuset.cpus") for group in lived_in}
    emptied = not was and knob in cpusets and facts.release < (7, 0)
    return str(facts.present) if emptied else was


def _back(
    knob: Knob, now: str | None, was: str | None, name: str = "", reads: str | None = None
) -> Step:
    return Step(knob, now, was, "as it was found", name, reads=reads, restore=True)


def _affinity_back(facts: Facts, task: Task, was: CpuSet) -> Step:
    name, reads = f"task {task.tid} ({task.name})", str(was & facts.online)
    offline = was - facts.online
    if offline and facts.release < (6, 2) and not task.kernel:  # it forgets these
        name, was = f"{name}, without CPU {offline}, which is offline", was & facts.online
    return _back(Knob("affinity", task.id), str(task.cpus), str(was), name, reads)


def _affinities(facts: Facts, memory: Memory) -> Iterator[Step]:
    """Affinities that are still as the isolation left them; a program that chose anew keeps that.

    What was born meanwhile has its parent's, cut, if that had one: kernel threads, and where
    isolcpus= is given everybody.
    """
    shares = memory.shares(facts)
    for task in facts.tasks:
        was = memory.originals.get(Knob("affinity", task.id))
        found = CpuSet.parse(was or "")
        cut = [cpus.cut_affinity(found) & facts.online for cpus in shares]
        is_ours = not task.chosen or task.cpus in cut
        if was is not None and is_ours and found & facts.online:  # else the kernel refuses it
            yield _affinity_back(facts, task, found)
        if was is None and task.started > memory.since:
            usual = facts.usual(task)
            inherited = [cpus.cut_affinity(usual) & facts.online for cpus in shares]
            if task.cpus in inherited and (task.kernel or facts.boot_isolated):
                yield _affinity_back(facts, task, usual)
