"""The threads that could be moved, each with its affinity and with what its cgroup would allow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mdguest.facts import CGROUP, Task
from mdguest.procfs import allowed, cgroup, cpu_list, stat

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.system import System


def tasks_of(system: System, online: CpuSet, offline: CpuSet) -> Iterator[Task]:
    rooms = {"": cpu_list(system, f"{CGROUP}/cpuset.cpus.effective") or online}
    for path in system.glob("/proc/[0-9]*/task/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            task = _task(system, path, rooms)
            if task and offline and task.chosen:
                task = replace(task, offline=allowed(system, _thread(path)) & offline)
            if task:
                yield task


def _task(system: System, path: str, rooms: dict[str, CpuSet]) -> Task | None:
    """The thread whose stat file this is; None where nobody could move it."""
    told = stat(system.read(path))
    if not told.is_movable:
        return None
    process = int(path.split("/")[2])
    group = "/" if told.is_kernel else cgroup(system, f"{process}/task/{told.tid}")
    return Task(
        id=f"{told.tid}:{told.started}",
        name=told.name,
        cpus=system.affinity(told.tid),
        kernel=told.is_kernel,
        group=group,
        room=_room(system, group.rstrip("/"), rooms),
        parent=process if process != told.tid else told.parent,
    )


def _thread(path: str) -> str:
    """``/proc/12/task/13/stat`` → ``12/task/13``."""
    return path[len("/proc/") : -len("/stat")]


def _room(system: System, group: str, rooms: dict[str, CpuSet]) -> CpuSet:
    """The CPUs that a cgroup's tasks may use: those of the nearest one with a cpuset."""
    if group not in rooms:
        rooms[group] = cpu_list(system, f"{CGROUP}{group}/cpuset.cpus.effective") or _room(
            system, group.rpartition("/")[0], rooms
        )
    return rooms[group]
