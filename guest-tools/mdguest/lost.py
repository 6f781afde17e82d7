"""CPUs that belong to nobody, and the way back.

Where the cpuset.cpus of an invalid partition change, Linux 6.12 makes it valid again, and keeps the
CPUs that it has no longer: they are neither its own nor the root's, also once it is gone. So it is
made a member first. What is lost comes back with a partition of just these CPUs that is made and
dissolved, while no neighbour names them.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP
from mdguest.reading import cpu_list, text

if TYPE_CHECKING:
    from mdguest.system import System

ROOT = f"{CGROUP}/cpuset.cpus.effective"
SPARE = f"{CGROUP}/mdguest-spare"
"""The cgroup that is there for a moment. One below the root is no way to keep anything: systemd may
take its cpuset away; but it is gone before that.
"""


def let_go(system: System, group: str) -> None:
    """Have a partition that is invalid own nothing, before its CPUs change."""
    path = f"{group}/cpuset.cpus.partition"
    if "invalid" in text(system, path):
        system.write(path, "member")


def reclaim(system: System, wanted: CpuSet) -> None:
    """Give the root what it lacks of these CPUs; OSError where the kernel does not want to."""
    lost = wanted - cpu_list(system, ROOT)
    kept = cpu_list(system, f"{CGROUP}/cpuset.cpus.isolated")
    kind = "isolated" if lost <= kept else "root"
    with _controller(system), _without(system, lost), _spare(system):
        system.write(f"{SPARE}/cpuset.cpus", str(lost))
        system.write(f"{SPARE}/cpuset.cpus.partition", kind)
        state = system.read(f"{SPARE}/cpuset.cpus.partition")
        if state != kind:
            raise OSError(errno.EIO, f"CPU {lost} cannot be had back: {state}; reboot")


def tidy(system: System) -> None:
    """Remove what a run that was killed in the midst of this has left."""
    if system.exists(f"{SPARE}/cpuset.cpus.partition"):
        system.write(f"{SPARE}/cpuset.cpus.partition", "member")
    system.remove(SPARE)


@contextlib.contextmanager
def _controller(system: System) -> Iterator[None]:
    """Cgroups below the root have cpusets meanwhile."""
    path = f"{CGROUP}/cgroup.subtree_control"
    had = "cpuset" in system.read(path).split()
    if not had:
        system.write(path, "+cpuset")
    yield
    if not had:
        system.write(path, "-cpuset")


@contextlib.contextmanager
def _without(system: System, lost: CpuSet) -> Iterator[None]:
    """No neighbour names these CPUs meanwhile; they could not use them anyhow."""
    changed = []
    for path in system.glob(f"{CGROUP}/*/cpuset.cpus"):
        cpus = cpu_list(system, path)
        if cpus & lost and text(system, f"{path}.partition") not in ("root", "isolated"):
            system.write(path, str(cpus - lost or cpu_list(system, ROOT)))
            changed.append((path, cpus))
    try:
        yield
    finally:
        for path, cpus in changed:
            system.write(path, str(cpus))


@contextlib.contextmanager
def _spare(system: System) -> Iterator[None]:
    system.mkdir(SPARE)
    try:
        yield
    finally:
        tidy(system)
