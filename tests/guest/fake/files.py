"""/proc and /sys, made from the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tests.guest.fake.cpusets import Cgroup
from tests.guest.fake.disk import Node
from tests.guest.fake.tasks import Task

if TYPE_CHECKING:
    from tests.guest.fake.guest import FakeGuest

CGROUP = "/sys/fs/cgroup"
CPU = "/sys/devices/system/cpu"
BOOT = "e0f4ab1c-4a4e-4d32-9b2e-5f7f3f1c2a11"


def nodes(guest: FakeGuest) -> Iterator[tuple[str, Node]]:
    """Every file that is not on a disk."""
    yield from _machine(guest)
    if guest.cgroup2:
        for group in guest.tree.root.walk():
            yield from _cgroup(guest, group)
    for task in guest.tasks:
        yield from _task(guest, task)
    yield from guest.devices.nodes()
    if guest.irqbalance:
        yield guest.irqbalance.socket, Node(lambda: "")


def _says(text: object) -> Node:
    return Node(lambda: str(text))


def _machine(guest: FakeGuest) -> Iterator[tuple[str, Node]]:
    shape = guest.shape
    yield f"{CPU}/online", Node(lambda: str(guest.tree.online))
    yield f"{CPU}/present", _says(shape.present)
    yield f"{CPU}/possible", _says(shape.possible)
    yield f"{CPU}/isolated", _says(shape.isolcpus)
    yield f"{CPU}/nohz_full", _says(shape.nohz_full or "(null)")
    for core in shape.cores:
        for cpu in core:
            yield f"{CPU}/cpu{cpu}/topology/thread_siblings_list", _says(core)
    for number, cell in enumerate(shape.numa):
        yield f"/sys/devices/system/node/node{number}/cpulist", _says(cell)
    yield "/proc/uptime", Node(lambda: f"{guest.uptime:.2f} 3.07")
    yield "/proc/cmdline", _says(shape.cmdline)
    yield "/proc/sys/kernel/osrelease", _says(guest.kernel.release)


def _cgroup(guest: FakeGuest, group: Cgroup) -> Iterator[tuple[str, Node]]:
    tree, folder = guest.tree, f"{CGROUP}{group.path}"
    populated = f"{folder}/cgroup.events"

    def named(*names: str) -> str:
        return " ".join(sorted({*names}))

    def procs() -> str:
        return "\n".join(str(task.pid) for task in guest.tasks if task.group is group)

    def controllers(text: str) -> None:
        tree.write_controllers(group, text)

    above = group.parent.controllers if group.parent else {"cpu", "cpuset", "io", "memory", "pids"}
    yield f"{folder}/cgroup.procs", Node(procs)
    yield f"{folder}/cgroup.controllers", Node(lambda: named(*above))
    yield f"{folder}/cgroup.subtree_control", Node(lambda: named(*group.controllers), controllers)
    if group.parent:
        yield populated, Node(lambda: f"populated {int(tree.is_populated(group))}\nfrozen 0")
    if group.has_cpuset:
        yield from _cpuset(guest, group, folder)


def _cpuset(guest: FakeGuest, group: Cgroup, folder: str) -> Iterator[tuple[str, Node]]:
    tree = guest.tree
    yield f"{folder}/cpuset.cpus.effective", Node(lambda: str(group.effective))
    if group.parent is None:
        if guest.kernel.workqueues_follow:
            yield f"{folder}/cpuset.cpus.isolated", Node(lambda: str(tree.isolated()))
        return

    def writer(write: Callable[[Cgroup, str], None]) -> Callable[[str], None]:
        return lambda text: write(group, text)

    yield f"{folder}/cpuset.cpus", Node(lambda: str(group.cpus), writer(tree.write_cpus))
    yield (
        f"{folder}/cpuset.cpus.partition",
        Node(lambda: group.state, writer(tree.write_partition)),
    )
    if guest.kernel.exclusive:
        yield f"{folder}/cpuset.cpus.exclusive", _says("")


def _task(guest: FakeGuest, task: Task) -> Iterator[tuple[str, Node]]:
    stat, group = Node(task.stat), Node(lambda: f"0::{task.group.path or '/'}")
    status = Node(lambda: f"Name:\t{task.name}\nCpus_allowed_list:\t{task.mask}")
    for folder in (f"/proc/{task.pid}/task/{task.tid}", f"/proc/{task.tid}"):
        hidden = folder == f"/proc/{task.tid}" and task.pid != task.tid
        yield f"{folder}/stat", stat._replace(hidden=hidden)
        yield f"{folder}/cgroup", group._replace(hidden=hidden)
        yield f"{folder}/status", status._replace(hidden=hidden)
