"""The fake guest itself: the methods of mdguest's System, over the models beside this file."""

from __future__ import annotations

import contextlib
import errno
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mdguest.cpuset import CpuSet
from mdguest.system import Ran, System
from typing_extensions import override

from tests.guest.fake.cpusets import Hierarchy
from tests.guest.fake.devices import Devices, Irqbalance
from tests.guest.fake.disk import Disk, Index, Node
from tests.guest.fake.files import nodes
from tests.guest.fake.kernels import Kernel, Shape
from tests.guest.fake.systemd import Systemd
from tests.guest.fake.tasks import KERNEL_THREAD, NO_SETAFFINITY, Task, Tasks, failure

CGROUP = "/sys/fs/cgroup"


class Killed(BaseException):
    """SIGKILL: the process is gone at once, whatever it would have caught."""


@dataclass
class Death:
    """When to be killed: at the operation with this number, and how far that gets."""

    at: int
    how: str
    """``before`` it, ``after`` it, or ``torn`` in the midst of a write to a file of ours."""


@dataclass
class Fault:
    """Changes that fail: that with this number, or all from there on."""

    at: int
    error: int
    lasting: bool = False

    def hits(self, number: int) -> bool:
        return number == self.at or (self.lasting and number > self.at)


@dataclass
class FakeGuest(System):
    """All state of a guest. Every change of it by the tool is counted."""

    kernel: Kernel
    shape: Shape
    tasks: Tasks
    tree: Hierarchy
    devices: Devices
    disk: Disk
    systemd: Systemd | None = None
    irqbalance: Irqbalance | None = None
    programs: set[str] = field(default_factory=lambda: {"systemctl", "sh"})
    cgroup2: bool = True
    denied: tuple[str, ...] = ()
    """Beginnings of the paths that may not be opened."""
    frozen: bool = False
    """Whether the cgroups are mounted read-only."""
    ordinary: bool = False
    """Whether the user is not root."""
    uptime: float = 5.0
    """Seconds; each new task takes some."""
    locks: set[str] = field(default_factory=set)
    changes: int = 0
    tearable: set[int] = field(default_factory=set)
    """The numbers of the changes that a kill could have left half done."""
    death: Death | None = None
    fault: Fault | None = None
    _index: tuple[tuple[int, int], Index] | None = None

    # What tests do to it

    def kill_at(self, number: int, how: str = "before") -> None:
        """Be killed at the change with this number, counted from 1 from now on."""
        self.count_anew()
        self.death = Death(number, how)

    def fail_at(self, number: int, error: int, lasting: bool = False) -> None:
        """Have the change with this number fail, counted from 1 from now on."""
        self.count_anew()
        self.fault = Fault(number, error, lasting)

    def count_anew(self) -> None:
        self.changes, self.death, self.fault, self.tearable = 0, None, None, set()

    def revive(self) -> None:
        """A new process comes."""
        self.death = None

    def copy(self) -> FakeGuest:
        index, self._index = self._index, None
        try:
            made: FakeGuest = pickle.loads(pickle.dumps(self))  # noqa: S301  # our own
        finally:
            self._index = index
        return made

    def spawn(
        self, name: str, group: str = "", cpus: CpuSet | None = None, pid: int = 0, flags: int = 0
    ) -> Task:
        """A new task, with an affinity of its own where ``cpus`` are given."""
        tid = max(self.tasks.by_tid, default=0) + 1
        place = self.tree.make(group)
        room = place.cpuset.room
        fresh = self._born(flags, room)
        mask = (cpus & room or room) if cpus is not None else fresh
        user = None if flags & KERNEL_THREAD else cpus
        self.uptime += 0.25
        task = Task(tid, name, place, mask, user, pid or tid, flags, int(self.uptime * 100))
        self.tasks.add(task)
        return task

    def _born(self, flags: int, room: CpuSet) -> CpuSet:
        """A new task's affinity: before Linux 7 a kernel thread's has what is isolated in it."""
        shape = self.shape
        if flags & KERNEL_THREAD and not self.kernel.modern:
            room = shape.possible - shape.nohz_full or shape.possible
        return (room - shape.isolcpus) or room

    def spawn_kernel(self, name: str, cpus: CpuSet | None = None, bound: bool = False) -> Task:
        return self.spawn(name, "", cpus, flags=KERNEL_THREAD | (NO_SETAFFINITY if bound else 0))

    def end(self, task: Task) -> None:
        self.tasks.drop(task)

    def set_online(self, cpus: str) -> None:
        self.tree.set_online(CpuSet.parse(cpus))

    def daemon_reload(self) -> None:
        assert self._ctl("daemon-reload").status == 0

    def set_property(self, unit: str, assignment: str) -> None:
        """Somebody else's ``systemctl set-property --runtime``."""
        assert self.systemd is not None
        assert self.systemd.set_property(True, unit, assignment).status == 0

    # What the tool does

    def _change(
        self, action: Callable[[], object], torn: Callable[[], object] | None = None
    ) -> None:
        """Do something that lasts, unless the process is killed at it."""
        self.changes += 1
        if self.fault and self.fault.hits(self.changes):
            raise failure(self.fault.error)
        if torn:
            self.tearable.add(self.changes)
        dies = self.death is not None and self.death.at == self.changes
        how = self.death.how if self.death else ""
        if dies and how == "before":
            raise Killed
        try:
            (torn if torn and dies and how == "torn" else action)()
        finally:
            if dies:
                raise Killed

    @property
    def index(self) -> Index:
        version = (self.tree.version, self.tasks.version)
        if self._index is None or self._index[0] != version:
            self._index = version, Index(dict(nodes(self)), self.disk)
        return self._index[1]

    def _check_allowed(self, path: str) -> None:
        if self.denied and path.startswith(self.denied):
            raise failure(errno.EACCES, path)

    def _node(self, path: str) -> Node | None:
        self._check_allowed(path)
        node = self.index.nodes.get(path)
        if node is None and path not in self.disk.files:
            raise failure(errno.EISDIR if self.index.exists(path) else errno.ENOENT, path)
        return node

    @override
    def read(self, path: str) -> str:
        node = self._node(path)
        return (node.read() if node else self.disk.files[path]).rstrip("\n")

    @override
    def read_bytes(self, path: str, limit: int) -> bytes:
        return self.read(path).encode()[:limit]

    @override
    def write(self, path: str, text: str) -> None:
        node = self._node(path)
        if node is None:
            self._change(lambda: self.disk.put(path, text))
        elif node.write is None:
            raise failure(errno.EACCES, path)
        else:
            write = node.write
            self._change(lambda: write(text.strip("\n")))

    @override
    def save(self, path: str, text: str) -> None:
        self._check_allowed(path)
        folder, _, name = path.rpartition("/")
        half = text[: len(text) // 2]
        self._change(
            lambda: self.disk.put(path, text), lambda: self.disk.put(f"{folder}/.{name}.7", half)
        )

    @override
    def export(self, path: str, text: str) -> None:
        self.save(path, text)

    @override
    def append(self, path: str, text: str) -> None:
        self._check_allowed(path)
        before, half = self.disk.files.get(path, ""), text[: len(text) // 2]
        self._change(
            lambda: self.disk.put(path, before + text), lambda: self.disk.put(path, before + half)
        )

    @override
    def exists(self, path: str) -> bool:
        return self.index.exists(path)

    @override
    def is_writable(self, path: str) -> bool:
        return not (self.frozen and path.startswith(CGROUP))

    @override
    def is_root(self) -> bool:
        return not self.ordinary

    @override
    def pause(self, seconds: float) -> None:
        """Devices go on interrupting, those that do."""
        self.devices.interrupt()

    @override
    def glob(self, pattern: str) -> list[str]:
        return self.index.glob(pattern)

    @override
    def mkdir(self, path: str) -> None:
        if self.exists(path):
            return
        if path.startswith(f"{CGROUP}/"):
            self._change(lambda: self.tree.make(path[len(CGROUP) :]))
        else:
            self._change(lambda: self.disk.mkdir(path))

    @override
    def remove(self, path: str) -> None:
        if not self.exists(path):
            return
        if path.startswith(f"{CGROUP}/"):
            self._change(lambda: self.tree.remove(self.tree.find(path[len(CGROUP) :])))
        else:
            self._change(lambda: self.disk.remove(path))

    @override
    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    @override
    def run(self, *command: str, timeout: float = 30.0) -> Ran:
        if command[0] != "systemctl" or self.systemd is None:
            return Ran(127, "", f"{command[0]}: No such file or directory")
        if command[1] in ("show", "--version"):
            return self.systemd.ctl(*command[1:])
        done: list[Ran] = []
        self._change(lambda: done.append(self._ctl(*command[1:])))
        return done[0]

    def _ctl(self, *arguments: str) -> Ran:
        assert self.systemd is not None
        done = self.systemd.ctl(*arguments)
        if arguments[0] == "daemon-reload":
            self._watch_pressure_anew()
        return done

    def _watch_pressure_anew(self) -> None:
        """Of systemd 257, the kernel's thread that watches for it ends, and another is born; here
        with the same number.
        """
        for task in (task for task in self.tasks if task.name == "psimon"):
            self.uptime += 0.25
            task.start, task.user = int(self.uptime * 100), None
            task.mask = self._born(task.flags, task.group.cpuset.room)

    @override
    @contextlib.contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """One process at a time is all that there is, and a kill gives its lock back."""
        assert path not in self.locks, "it would wait for itself"
        self.locks.add(path)
        try:
            yield
        finally:
            self.locks.remove(path)

    @override
    def affinity(self, task: int) -> CpuSet:
        return self.tasks.find(task).mask & self.tree.online

    @override
    def set_affinity(self, task: int, cpus: CpuSet) -> None:
        found = self.tasks.find(task)
        self._change(lambda: self.tasks.set_affinity(found, cpus, self.tree.online))

    @override
    def visit(self, group: str, cpus: CpuSet) -> None:
        found = self.tree.find(group[len(CGROUP) :])
        self._change(lambda: self.tree.visit(found, cpus))

    @override
    def ask(self, path: str, request: str) -> str:
        if not self.exists(path):
            raise failure(errno.ENOENT)
        if self.irqbalance is None or self.irqbalance.socket != path:
            raise failure(errno.ECONNREFUSED)
        if self.ordinary:
            raise failure(errno.EACCES)
        daemon = self.irqbalance
        if request == "setup":
            return daemon.ask(request)
        self._change(lambda: daemon.ask(request))
        return ""
