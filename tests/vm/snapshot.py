"""What isolation touches in a guest, as inside/look.py reads it, and how two looks differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

MEMBER = "member"
WORKQUEUES = "/sys/devices/virtual/workqueue/"


class Task(NamedTuple):
    """A thread."""

    tid: int
    pid: int
    started: str
    name: str
    state: str
    processor: int
    cpus: list[int]
    kernel: bool
    bound: bool
    """Nobody can set its affinity: a kernel thread that belongs to one CPU, for the most part."""
    group: str
    preempted: int

    @property
    def id(self) -> str:
        return f"{self.tid}:{self.started}"

    def may_use(self, cpus: set[int]) -> bool:
        """Whether it might come to these CPUs without being bound to one of them.

        Leaving out the rescuers of workqueues, which stay where Linux 6.12 has put them: they work
        when memory is short.
        """
        alone = self.bound and (len(self.cpus) == 1 or self.name.startswith("kworker/R-"))
        return bool(cpus & set(self.cpus)) and not alone


@dataclass(frozen=True)
class Snapshot:
    """One look at a guest."""

    settings: dict[str, str]
    units: dict[str, str]
    tasks: list[Task]

    @classmethod
    def read(cls, text: str) -> Snapshot:
        found = json.loads(text)
        return cls(found["settings"], found["units"], [Task(**task) for task in found["tasks"]])

    @property
    def values(self) -> dict[str, str]:
        """The settings and units, without what says the same as if it were not there.

        A cgroup with tasks cannot have its cpuset emptied again before Linux 7: one that names all
        CPUs is as good as none.
        """
        online = self.settings["/sys/devices/system/cpu/online"]
        alike = {"", MEMBER, online, "directory"}
        settings = {
            path: value
            for path, value in self.settings.items()
            if not ("cpuset.cpus" in path or "/system" in path) or value not in alike
        }
        return {**settings, **self.units}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not as it was: settings, units, and the affinity of every task in both."""
    old, new = before.values, after.values
    for name in new.keys() - old.keys():
        if name.startswith(WORKQUEUES):  # a module's: as free as all those that have no own wish
            old[name] = old[f"{WORKQUEUES}cpumask"]
    found = [
        f"{name}: {old.get(name)!r} became {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return found + _moved(before, after) + _born_aside(before, after)


def _moved(before: Snapshot, after: Snapshot) -> list[str]:
    """Not of those whose affinity is the kernel's own affair, as a workqueue's rescuer's is."""
    had = {task.id: task.cpus for task in before.tasks}
    return [
        f"task {task.id} ({task.name}): {had[task.id]} became {task.cpus}"
        for task in after.tasks
        if not task.bound and task.cpus != had.get(task.id, task.cpus)
    ]


def _born_aside(before: Snapshot, after: Snapshot) -> list[str]:
    """Kernel threads that were born meanwhile, with fewer CPUs than their parent has now."""
    had = {task.id for task in before.tasks}
    [parent] = [task.cpus for task in after.tasks if task.tid == 2]
    return [
        f"kernel thread {task.id} ({task.name}): {task.cpus}, not {parent}"
        for task in after.tasks
        if task.id not in had and task.kernel and not task.bound and set(task.cpus) < set(parent)
    ]
