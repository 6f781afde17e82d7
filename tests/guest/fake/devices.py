"""Interrupts, CPU masks in files, and irqbalance."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

from mdguest import procfs
from mdguest.cpuset import EMPTY, CpuSet

from tests.guest.fake.cpusets import Hierarchy
from tests.guest.fake.disk import Node
from tests.guest.fake.tasks import failure


def hexadecimal(cpus: CpuSet, possible: CpuSet) -> str:
    """The kernel's %*pb: as many digits as there are possible CPUs, in groups of 32 bits."""
    bits = max(possible, default=0) + 1
    words = [f"{cpus.mask >> shift & 0xFFFFFFFF:08x}" for shift in range(0, bits, 32)]
    digits = ((bits % 32 or 32) + 3) // 4
    words[-1] = words[-1][-digits:]
    return ",".join(reversed(words))


@dataclass
class Irq:
    """An interrupt; ``actions`` is empty where no driver listens."""

    number: int
    actions: str
    cpus: CpuSet
    managed: bool = False
    comes_to: CpuSet = EMPTY
    """Where it comes until its next interrupt; empty where that is one of ``cpus`` already."""
    busy: bool = False
    """Whether interrupts come."""
    stuck: bool = False
    """Whether no vector is left where it was told to come."""
    count: int = 0


@dataclass
class Devices:
    """All that has a mask of its own."""

    tree: Hierarchy
    irqs: list[Irq] = field(default_factory=list)
    masks: dict[str, CpuSet] = field(default_factory=dict)
    """/proc and /sys files in hexadecimal."""
    watchdog: CpuSet = EMPTY
    full: CpuSet = EMPTY
    """CPUs without a vector left."""
    workqueues: CpuSet = EMPTY
    """What was asked for unbound workqueues."""

    def nodes(self) -> Iterator[tuple[str, Node]]:
        for irq in self.irqs:
            yield from self._irq(irq)
        for path in self.masks:
            yield path, self._mask(path)
        requested = Node(lambda: self._hex(self.workqueues), self._write_workqueues)
        yield WORKQUEUES, Node(lambda: self._hex(self._unbound()), self._write_workqueues)
        if self.tree.kernel.workqueues_follow:
            yield f"{WORKQUEUES}_requested", requested
            yield f"{WORKQUEUES}_isolated", Node(lambda: self._hex(self.tree.isolated()))
        yield WATCHDOG, Node(lambda: str(self.watchdog), self._write_watchdog)

    def _hex(self, cpus: CpuSet) -> str:
        return hexadecimal(cpus, self.tree.shape.possible)

    def _irq(self, irq: Irq) -> Iterator[tuple[str, Node]]:
        folder = f"/proc/irq/{irq.number}"

        def write(text: str) -> None:
            cpus = self._online(CpuSet.parse(text))
            if irq.managed:
                raise failure(self.tree.kernel.managed)
            if not cpus - self.full:
                raise failure(errno.ENOSPC)
            irq.cpus = cpus

        def effective() -> str:
            return str(irq.comes_to or CpuSet.of(list(irq.cpus & self.tree.online)[:1]))

        yield f"{folder}/smp_affinity_list", Node(lambda: str(irq.cpus), write)
        yield f"{folder}/effective_affinity_list", Node(effective)
        yield f"/sys/kernel/irq/{irq.number}/actions", Node(lambda: irq.actions)
        yield f"/sys/kernel/irq/{irq.number}/per_cpu_count", Node(lambda: str(irq.count))

    def interrupt(self) -> None:
        """Every busy device does, and so its interrupt moves, if it can."""
        for irq in self.irqs:
            if irq.busy:
                irq.count += 1
                irq.comes_to = irq.comes_to if irq.stuck else EMPTY

    def _online(self, cpus: CpuSet) -> CpuSet:
        if not cpus & self.tree.online:
            raise failure(errno.EINVAL)
        return cpus & self.tree.shape.possible

    def _mask(self, path: str) -> Node:
        def read() -> str:
            if path.endswith("queues/tx-0/xps_cpus") and "/single/" in path:
                raise failure(errno.ENOENT)
            return self._hex(self.masks[path])

        def write(text: str) -> None:
            cpus = procfs.from_mask(text) & self.tree.shape.possible
            self.masks[path] = self._checked(path, cpus)

        return Node(read, write)

    def _checked(self, path: str, cpus: CpuSet) -> CpuSet:
        """net/core/net-sysfs.c keeps packets off what is isolated, as far as the kernel knows."""
        if path.endswith("default_smp_affinity"):
            return self._online(cpus)
        if path.endswith("rps_cpus") and cpus:
            shape = self.tree.shape
            isolated = self.tree.isolated() if self.tree.kernel.modern else EMPTY
            cpus = cpus - shape.isolcpus - shape.nohz_full - isolated
            if not cpus:
                raise failure(errno.EINVAL)
        return cpus

    def _unbound(self) -> CpuSet:
        """The mask that counts: from Linux 6.8 on without the isolated CPUs."""
        isolated = self.tree.isolated() if self.tree.kernel.workqueues_follow else EMPTY
        return self.workqueues - isolated or self.workqueues

    def _write_workqueues(self, text: str) -> None:
        cpus = procfs.from_mask(text) & self.tree.shape.possible
        if not cpus:
            raise failure(errno.EINVAL)
        self.workqueues = cpus

    def _write_watchdog(self, text: str) -> None:
        try:
            self.watchdog = CpuSet.parse(text) & self.tree.shape.possible
        except ValueError:
            raise failure(errno.EINVAL) from None


WORKQUEUES = "/sys/devices/virtual/workqueue/cpumask"
WATCHDOG = "/proc/sys/kernel/watchdog_cpumask"
REQUEST_BYTES = 500
"""What irqbalance before 1.9.5 reads of a request."""


@dataclass
class Irqbalance:
    """The daemon: it does at its next scan what its socket was told."""

    default: CpuSet
    """What it keeps off by itself: isolcpus= and nohz_full=."""
    possible: CpuSet
    socket: str = "/run/irqbalance/irqbalance431.sock"
    banned: CpuSet = EMPTY
    told: CpuSet | None = None
    speechless: bool = False
    """Whether it answers without a word of what it bans."""
    asleep: bool = False
    """Whether it reads nothing before its next scan, as 1.9.2 does between two."""
    trouble: int = 0
    """What goes wrong whenever it is asked or told: an errno."""

    def ask(self, request: str) -> str:
        if self.trouble:
            raise failure(self.trouble)
        if request == "setup":
            if self.asleep:
                raise failure(errno.EAGAIN)
            irqs = "IRQ 24 LOAD 0 DIFF 0 COUNT 0 CLASS 4 "
            if self.speechless:
                return "SLEEP 10 "
            return f"SLEEP 10 {irqs}BANNED {hexadecimal(self.banned, self.possible)}"
        read = request[:REQUEST_BYTES].removeprefix("settings cpus ")
        first = read.split(" ")[0]  # it reads no further
        self.told = self.default if first == "NULL" else CpuSet.parse(first)
        if self.asleep:
            raise failure(errno.EAGAIN)
        return ""

    def scan(self) -> None:
        self.asleep = False
        if self.told is not None:
            self.banned, self.told = self.told, None
