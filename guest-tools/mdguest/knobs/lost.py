"""CPUs that belong to nobody, and the way back.

Where the cpuset.cpus of an invalid partition change, Linux 6.12 makes it valid again, and keeps the
CPUs that it has no longer: they are neither its own nor the root's, also once it is gone. So it is
made a member first. What is lost comes back with a partition of just these CPUs that is made and
dissolved, while no neighbour names them.
"""

from __future__ import annotations

import contextlib
import errno
import json
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP
from mdguest.procfs import cpu_list, text

if TYPE_CHECKING:
    from mdguest.system import System

NOTE = "/run/mdguest/room.json"
"""What neighbours named before room was made: paths, and what to write there."""

CONTROLLERS = f"{CGROUP}/cgroup.subtree_control"
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
    try:
        _make_room(system, lost)
        _own(system, lost, "isolated" if lost <= kept else "root")
    finally:
        tidy(system)


def tidy(system: System) -> None:
    """Put back what making room has changed, be it by a run that was killed in the midst of it."""
    if system.exists(f"{SPARE}/cpuset.cpus.partition"):
        system.write(f"{SPARE}/cpuset.cpus.partition", "member")
    system.remove(SPARE)
    if system.exists(NOTE):
        with contextlib.suppress(ValueError, TypeError):  # garbage has nothing to put back
            for path, value in json.loads(system.read(NOTE)):
                if system.exists(path):
                    system.write(path, value)
        system.remove(NOTE)


def _make_room(system: System, lost: CpuSet) -> None:
    """Cgroups below the root have cpusets, and none names these CPUs: it could not use them anyhow.

    What to put back is on record before.
    """
    named = {
        path: cpus
        for path in system.glob(f"{CGROUP}/*/cpuset.cpus")
        if (cpus := cpu_list(system, path)) & lost
        and text(system, f"{path}.partition") not in ("root", "isolated")
    }
    without = "cpuset" not in system.read(CONTROLLERS).split()
    back = [(path, str(cpus)) for path, cpus in named.items()]
    system.save(NOTE, json.dumps([*back, *([(CONTROLLERS, "-cpuset")] if without else [])]))
    if without:
        system.write(CONTROLLERS, "+cpuset")
    for path, cpus in named.items():
        system.write(path, str(cpus - lost or cpu_list(system, ROOT)))


def _own(system: System, lost: CpuSet, kind: str) -> None:
    system.mkdir(SPARE)
    system.write(f"{SPARE}/cpuset.cpus", str(lost))
    system.write(f"{SPARE}/cpuset.cpus.partition", kind)
    state = system.read(f"{SPARE}/cpuset.cpus.partition")
    if state != kind:
        raise OSError(errno.EIO, f"CPU {lost} cannot be had back: {state}; reboot")
