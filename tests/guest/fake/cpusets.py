"""The kernel's cgroup v2 hierarchy with its cpuset controller."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

from mdguest.cpuset import EMPTY, CpuSet, union

from tests.guest.fake.kernels import Crashed, Kernel, Shape
from tests.guest.fake.tasks import Tasks, failure


@dataclass(eq=False)
class Cgroup:
    """One directory. ``effective`` and ``room`` are made anew at each change."""

    name: str
    parent: Cgroup | None = None
    children: dict[str, Cgroup] = field(default_factory=dict)
    controllers: set[str] = field(default_factory=set)
    cpus: CpuSet = EMPTY
    partition: str = "member"
    reason: str = ""
    """Why the partition is invalid; empty where it is not."""
    effective: CpuSet = EMPTY
    room: CpuSet = EMPTY
    """What its tasks may use, CPUs included that are offline for now."""

    @property
    def path(self) -> str:
        return "" if self.parent is None else f"{self.parent.path}/{self.name}"

    @property
    def has_cpuset(self) -> bool:
        return self.parent is None or "cpuset" in self.parent.controllers

    @property
    def cpuset(self) -> Cgroup:
        """The nearest cgroup that has one: it is the one that counts."""
        return self if self.has_cpuset or self.parent is None else self.parent.cpuset

    @property
    def is_root(self) -> bool:
        """Whether it is a valid partition, as the root is."""
        return self.parent is None or (self.partition != "member" and not self.reason)

    @property
    def state(self) -> str:
        return self.partition + (f" invalid ({self.reason})" if self.reason else "")

    def is_below(self, other: Cgroup) -> bool:
        return self is other or (self.parent is not None and self.parent.is_below(other))

    def walk(self) -> Iterator[Cgroup]:
        yield self
        for child in self.children.values():
            yield from child.walk()

    def partitions(self) -> list[Cgroup]:
        return [child for child in self.children.values() if child.is_root]

    def forget(self) -> None:
        """The controller is gone, and with it all that it was told."""
        self.cpus, self.partition, self.reason = EMPTY, "member", ""


class Hierarchy:
    """The tree and its rules."""

    def __init__(self, kernel: Kernel, shape: Shape, tasks: Tasks) -> None:
        self.kernel, self.shape, self.tasks = kernel, shape, tasks
        self.online = shape.online
        self.version = 0
        """Counts files that come and go."""
        self.asleep = EMPTY
        """CPUs that have run nothing since nobody balanced them, and get no program to share."""
        self.lost = EMPTY
        """CPUs that belong to nobody (Linux 6.12)."""
        self.root = Cgroup("", effective=shape.online, room=shape.possible)
        self.root.controllers = {"cpu", "io", "memory", "pids"}

    def find(self, path: str) -> Cgroup:
        group = self.root
        for name in filter(None, path.split("/")):
            group = group.children[name]
        return group

    def make(self, path: str) -> Cgroup:
        group = self.root
        for name in filter(None, path.split("/")):
            if name not in group.children:
                group.children[name] = Cgroup(name, group)
                self.version += 1
                self.settle()
            group = group.children[name]
        return group

    def remove(self, group: Cgroup) -> None:
        if group.children or self.is_populated(group) or group.parent is None:
            raise failure(errno.EBUSY)
        del group.parent.children[group.name]
        self.version += 1
        self.settle()

    def is_populated(self, group: Cgroup) -> bool:
        return any(True for _ in self.tasks.within(group))

    def visit(self, group: Cgroup, cpus: CpuSet) -> None:
        """A task in this cgroup runs on each of these CPUs; those that are isolated sleep on."""
        if group.controllers:
            raise failure(errno.EBUSY)
        self.asleep -= cpus & group.cpuset.effective
        self.asleep |= self.isolated()

    def isolated(self) -> CpuSet:
        """The CPUs of isolated partitions."""
        groups = (group for group in self.root.walk() if group.is_root)
        kept = [group.cpus & self.online for group in groups if group.partition == "isolated"]
        return union([*kept, self.lost])

    # What can be written

    def write_controllers(self, group: Cgroup, text: str) -> None:
        before = "cpuset" in group.controllers
        for word in text.split():
            change = group.controllers.add if word[0] == "+" else group.controllers.discard
            change(word[1:])
        if before == ("cpuset" in group.controllers):
            return
        self.version += 1
        for below in group.walk():
            if below is not group:
                below.forget()
        self.settle()
        for child in group.children.values():
            self._attach(child)

    def _attach(self, group: Cgroup) -> None:
        """Every task is attached anew to its cpuset; before Linux 6.2 it forgets its affinity."""
        for task in self.tasks.within(group):
            task.refit(task.group.cpuset.room, self.kernel)

    def write_cpus(self, group: Cgroup, text: str) -> None:
        try:
            cpus = CpuSet.parse(text)
        except ValueError:
            raise failure(errno.EINVAL) from None
        if not cpus <= self.shape.possible:
            raise failure(errno.EINVAL)
        if not cpus and group.cpus and self.is_populated(group) and not self.kernel.modern:
            raise failure(errno.ENOSPC)
        clashing = [rival for rival in self._siblings(group) if rival.cpus & cpus]
        rivals = [rival for rival in clashing if rival.is_root]
        if not self.kernel.isolated and (rivals or (clashing and group.partition != "member")):
            raise failure(errno.EINVAL)
        was, before, group.cpus = group.partition, group.cpus, cpus
        if not self.kernel.modern:
            for rival in rivals:
                rival.reason = self.kernel.reason("exclusive")
        if was != "member":
            self._check_again(group, before)
        self.settle()

    def _check_again(self, group: Cgroup, before: CpuSet) -> None:
        """A partition has other CPUs; Linux 6.12 keeps what one had that was invalid meanwhile."""
        invalid, was = bool(group.reason), group.partition
        group.reason = self._objection(group, "invalid" if invalid else was)
        if self.kernel.loses_cpus and invalid and not group.reason:
            self.lost |= before - group.cpus

    def write_partition(self, group: Cgroup, kind: str) -> None:
        kinds = ("member", "root", "isolated") if self.kernel.isolated else ("member", "root")
        if kind not in kinds:
            raise failure(errno.EINVAL)
        was = "invalid" if group.reason else group.partition
        if was == "invalid" and kind != "member" and not self.kernel.rewrite_heals:
            group.partition = kind
            return
        before = group.partition, group.reason
        group.partition, group.reason = kind, ""
        if kind not in ("member", was):
            group.reason = self._objection(group, was)
        if group.reason and not self.kernel.isolated:
            group.partition, group.reason = before
            raise failure(errno.EINVAL)
        self.settle()

    def set_online(self, cpus: CpuSet) -> None:
        """CPUs come and go."""
        self.online = cpus
        self.settle()
        self.tasks.chase(cpus)

    # The rules

    def _siblings(self, group: Cgroup) -> list[Cgroup]:
        children = group.parent.children.values() if group.parent else ()
        return [child for child in children if child is not group]

    def _objection(self, group: Cgroup, was: str) -> str:
        """Why this cannot be a valid partition; empty where it can."""
        parent = group.parent
        assert parent is not None
        others = [child for child in parent.partitions() if child is not group]
        free = (parent.effective | (group.cpus & self._given(parent))) - union(
            other.cpus for other in others
        )
        rivals = others if self.kernel.modern else self._siblings(group)
        rules = {
            "empty": not group.cpus,
            "exclusive": any(rival.cpus & group.cpus for rival in rivals),
            "invalid parent": bool(parent.reason),
            "parent": not parent.is_root,
            "cpus": not group.cpus & free,
            "all": free <= group.cpus and self._needs_cpus(parent, group),
            "housekeeping": self._conflicts(group, was),
        }
        return next((self.kernel.reason(name) for name, wrong in rules.items() if wrong), "")

    def _given(self, group: Cgroup) -> CpuSet:
        """The CPUs that a valid partition has, before it hands some on."""
        return self.online if group.parent is None else group.cpus & self.online

    def _needs_cpus(self, parent: Cgroup, group: Cgroup) -> bool:
        """Whether tasks would be left without a CPU: the root has always some."""
        left = (task for task in self.tasks.within(parent) if not task.group.is_below(group))
        return parent is self.root or any(True for _ in left)

    def _conflicts(self, group: Cgroup, was: str) -> bool:
        """Linux 6.12 looks at the state before, where 7 looks at the one to come."""
        shape, version = self.shape, self.kernel.version
        inside = group.cpus <= shape.possible - shape.isolcpus
        if self.kernel.modern:
            left = self.online - shape.isolcpus - shape.nohz_full - self.isolated() - group.cpus
            return (group.partition != "isolated" and not inside) or not left
        return version == (6, 12) and was != "isolated" and not inside

    def settle(self) -> None:
        """Make everything that follows from what was written."""
        self.lost -= union(group.cpus for group in self.root.partitions())
        self._check_hotplug()
        self._check_parents(self.root)
        self._spread(self.root, self.online)
        if not self.root.effective:
            for group in self.root.partitions():
                group.reason = self.kernel.reason("all")
            self._spread(self.root, self.online)
        self._check_alive()
        self.asleep |= self.isolated()
        for group in self.root.walk():
            room = self._room(group)
            if room != group.room:
                group.room = room
                self.tasks.refit(group)
        if self.kernel.modern:
            self.tasks.refit_kernel(self.shape.possible - self.isolated())

    def _check_alive(self) -> None:
        left = self.root.effective - self.shape.isolcpus
        crashes = self.kernel.version in ((6, 1), (6, 12))
        if crashes and self.shape.isolcpus and self.root.partitions() and not left:
            raise Crashed("no CPU is left to the scheduler")

    def _check_hotplug(self) -> None:
        gone = self.kernel.reason("hotplug")
        for group in self.root.children.values():
            there = bool(group.cpus & self.online)
            if group.is_root and not there and not self.kernel.modern:
                group.reason = gone
            elif group.reason == gone and there:
                group.reason = ""

    def _check_parents(self, parent: Cgroup) -> None:
        for child in parent.children.values():
            if child.is_root and not parent.is_root:
                reason = "invalid parent" if parent.reason else "parent"
                child.reason = self.kernel.reason(reason)
            self._check_parents(child)

    def _spread(self, group: Cgroup, cpus: CpuSet) -> None:
        left = cpus - union(child.cpus for child in group.partitions())
        if group is self.root:
            left -= self.lost
        group.effective = left
        for child in group.children.values():
            own = child.cpus & (cpus if child.is_root else left)
            self._spread(child, own if child.is_root else own or left)

    def _room(self, group: Cgroup) -> CpuSet:
        if group.parent is None:
            taken = union(child.cpus for child in group.partitions())
            return self.shape.possible - taken - self.lost
        if not group.has_cpuset:
            return group.parent.room
        return group.effective or group.parent.room
