"""What there is in this guest: frozen values that ``observe`` reads and ``plan`` reasons about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.facts.lasting import Lasting
from mdguest.facts.place import place

if TYPE_CHECKING:
    from mdguest.facts.cpu_manager import CpuManager

T = TypeVar("T")

CGROUP = "/sys/fs/cgroup"
POOL = "dedicated.slice"
RAW_POOL = "dedicated"
"""The pool's cgroup in a guest without systemd."""


class Knob(NamedTuple):
    """One thing that can be set: its kind, a row of ``knobs.KINDS``, and which one."""

    kind: str
    target: str


@dataclass(frozen=True)
class Group:
    """A cgroup. Sets are None where the cgroup has no cpuset, or the unit no such setting."""

    path: str
    unit: str = ""
    """The systemd unit that owns it; empty where none does."""
    asked: CpuSet = EMPTY
    """AllowedCPUs= of that unit; empty where it is not set."""
    cpus: CpuSet | None = None
    """cpuset.cpus: what the kernel was told."""
    effective: CpuSet | None = None
    """cpuset.cpus.effective: what the kernel made of it."""
    partition: str = ""
    """cpuset.cpus.partition: member, root or isolated, perhaps with ``invalid (reason)``."""
    populated: bool = False
    active: bool = False
    """Whether its unit is."""
    dropin: str | None = None
    """The text of the drop-in that set-property --runtime wrote for it; None where none is."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def below(self) -> str:
        """Its path below the root: ``/system.slice/cron.service``."""
        return self.path[len(CGROUP) :]

    @property
    def is_partition(self) -> bool:
        """Whether it has its CPUs to itself: a valid cpuset partition."""
        return self.partition in ("root", "isolated")


@dataclass(frozen=True)
class Task:
    """A thread that could be moved: of a program, or a kernel thread that is not bound to a CPU."""

    id: str
    """``TID:START``: a number alone may be another task's tomorrow."""
    name: str
    cpus: CpuSet
    """Its affinity."""
    kernel: bool
    group: str
    """Its cgroup, below the root: ``/system.slice/cron.service``."""
    room: CpuSet = EMPTY
    """What its cgroup would let it use."""
    parent: int = 0
    """The process that started it, or, of a thread, its process."""
    offline: CpuSet = EMPTY
    """What of its affinity is offline."""

    @property
    def chosen(self) -> bool:
        """Whether somebody gave it an affinity of its own."""
        return self.cpus != self.room

    @property
    def tid(self) -> int:
        return int(self.id.partition(":")[0])

    @property
    def started(self) -> int:
        """When, in clock ticks since boot."""
        return int(self.id.partition(":")[2])


@dataclass(frozen=True)
class Irq:
    """An interrupt that a driver listens to."""

    number: int
    name: str
    cpus: CpuSet
    """What it was told."""
    astray: CpuSet = EMPTY
    """The CPU that it comes to, where that is none of ``cpus``: no vector was left there."""

    @property
    def title(self) -> str:
        """What people call it. Its number alone may be another device's tomorrow."""
        return f"irq {self.number} ({self.name})"


class Affine(NamedTuple):
    """A unit with CPUAffinity=: systemd gives each of its processes this affinity."""

    name: str
    cpus: CpuSet
    slice: str
    group: str
    """Its cgroup, below the root; empty where it does not run."""


@dataclass(frozen=True)
class Systemd:
    """The systemd that runs this guest."""

    version: int
    partitions: bool
    """Whether it knows CPUSetPartition= (systemd 261)."""
    pool_file: str = ""
    """Where dedicated.slice is defined; empty where nowhere."""
    pool_active: bool = False
    pool_partition: str = ""
    """CPUSetPartition= of dedicated.slice."""
    kubelets: tuple[str, ...] = ()
    """The units that run a kubelet here."""
    affinity: CpuSet = EMPTY
    """CPUAffinity= of systemd itself, which services have and hand down; none where it has none."""


@dataclass(frozen=True)
class Facts:
    """What there is. Masks that this kernel does not have are None or absent."""

    online: CpuSet
    present: CpuSet
    possible: CpuSet
    numa: tuple[CpuSet, ...] = ()
    siblings: tuple[CpuSet, ...] = ()
    kernel: str = ""
    uptime: int = 0
    """In clock ticks."""
    hidden: bool = False
    """Whether /proc hides processes, from root too."""
    container: str = ""
    """``lxc``, ``docker``, ``systemd-nspawn``; empty where this is a machine of its own."""
    boot_isolated: CpuSet = EMPTY
    """``isolcpus=`` of the kernel command line."""
    nohz_full: CpuSet = EMPTY
    cmdline: str = ""
    tickless: bool | None = None
    """Whether the kernel can stop its tick at all; None where nothing says."""
    no_callbacks: CpuSet = EMPTY
    """The CPUs whose RCU callbacks others can run."""
    cpuset: bool = False
    """Whether the one cgroup hierarchy is version 2 and has the cpuset controller."""
    frozen: bool = False
    """Whether the hierarchy is mounted read-only, as in a container."""
    controllers: str = ""
    """The root's cgroup.subtree_control."""
    root: CpuSet | None = None
    """The root's cpuset.cpus.effective; None in a container, whose root is a part of the host's."""
    systemd: Systemd | None = None
    groups: tuple[Group, ...] = ()
    """Directly below the root, without the pool; of one with pods deeper down its parts."""
    pods: tuple[str, ...] = ()
    """The cgroups of Kubernetes' pods."""
    cpu_managers: tuple[CpuManager, ...] = ()
    pool: Group | None = None
    slices: Mapping[str, Group] = field(default_factory=dict)
    """By name, those that the settings exempt, whether or not they are there."""
    subsets: tuple[Group, ...] = ()
    """Directly below the pool: what ``run`` has given away, and services of the pool."""
    nested: tuple[Group, ...] = ()
    """Deeper down, outside the pool: those that were given a cpuset."""
    affine: tuple[Affine, ...] = ()
    lasting: tuple[Lasting, ...] = ()
    """Of the units at the top, those whose CPUs a file below /etc gives."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """The files of ours: their text, or None."""
    irqs: tuple[Irq, ...] = ()
    masks: Mapping[Knob, CpuSet] = field(default_factory=dict)
    """The kernel's other masks, by the knob that sets them: workqueues, queues, watchdog."""
    others: Mapping[type, Any] = field(default_factory=dict)
    """What else kinds of knobs look at: see ``of``."""
    tasks: tuple[Task, ...] = ()
    journalled: Mapping[Knob, str | None] = field(default_factory=dict)
    """What the knobs in the journal read now; those that are gone are left out."""

    def of(self, what: type[T]) -> T | None:
        """What was seen of this, by its class; None where there is none."""
        return self.others.get(what)

    @property
    def kubernetes(self) -> tuple[str, ...]:
        """What of Kubernetes is here: pods, units that run a kubelet, and one that runs without a
        unit of these. Empty cgroups of pods stay behind where it was uninstalled.
        """
        lived_in = {group.path for group in self.groups if group.populated}
        pods = [path.rpartition("/")[2] for path in self.pods if path in lived_in]
        units = self.systemd.kubelets if self.systemd else ()
        named = [task for task in self.tasks if task.name == "kubelet"]
        runs = not all(place(task.group).is_container for task in named)
        return (*pods, *units, *(["kubelet"] if runs else []))

    @property
    def release(self) -> tuple[int, int]:
        """``6.1.0-18-amd64`` → (6, 1); (0, 0) for what is no release."""
        found = re.match(r"(\d+)\.(\d+)", self.kernel)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def open(self) -> CpuSet:
        """The CPUs that are online and in no partition of somebody else's."""
        return self.online - union(
            group.effective or EMPTY
            for group in (*self.groups, *self.nested)
            if group.is_partition and not self.is_ours(group)
        )

    @property
    def elsewhere(self) -> CpuSet:
        """The CPUs that are online in a partition of somebody else's."""
        return self.online - self.open

    def is_ours(self, group: Group) -> bool:
        """Whether mdguest has made this cgroup a partition."""
        return Knob("partition", f"{group.path}/cpuset.cpus.partition") in self.journalled

    @property
    def lost(self) -> CpuSet:
        """The CPUs that are online and belong to nobody: neither to the root nor to a partition."""
        if self.root is None:
            return EMPTY
        pools = [self.pool] if self.pool else []
        groups = (*self.groups, *self.nested, *self.subsets, *pools)
        parts = union(group.effective or EMPTY for group in groups if group.is_partition)
        return self.online - self.root - parts

    @property
    def everything(self) -> CpuSet:
        """What a task may use that nobody has put in its place."""
        return self.online - self.boot_isolated or self.online

    def usual(self, task: Task) -> CpuSet:
        """What a task starts with, CPUs included that are offline now."""
        able = self.possible - self.boot_isolated or self.possible
        return able - (self.nohz_full if task.kernel else EMPTY)

    @property
    def pool_cpus(self) -> CpuSet:
        """What the kernel gives the pool; a subset that is a partition has taken its CPUs of it."""
        parts = [group for group in self.subsets if group.is_partition]
        groups = [self.pool, *parts] if self.pool else []
        return union(group.effective or EMPTY for group in groups)
