"""Prints as JSON what isolation touches in this guest: its settings, and every task."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

SETTINGS = (
    *("proc/irq/*/smp_affinity_list", "proc/irq/default_smp_affinity"),
    *("proc/sys/kernel/watchdog_cpumask", "proc/sys/net/core/rps_default_mask"),
    *("sys/devices/virtual/workqueue/cpumask", "sys/devices/virtual/workqueue/*/cpumask"),
    *("sys/class/net/*/queues/*/rps_cpus", "sys/class/net/*/queues/*/xps_cpus"),
    *("sys/fs/cgroup/cpuset.cpus.effective", "sys/fs/cgroup/*/cpuset.cpus"),
    *("sys/fs/cgroup/*/cpuset.cpus.effective", "sys/fs/cgroup/*/cpuset.cpus.partition"),
    *("run/systemd/system/**/*", "run/systemd/system.control/**/*", "run/mdguest/**/*.conf"),
    "run/systemd/transient/init.scope.d/*",
    "sys/devices/system/cpu/online",
)
KERNEL_THREAD, NO_SETAFFINITY = 0x00200000, 0x04000000


def settings() -> dict[str, str]:
    found = {}
    for path in (path for pattern in SETTINGS for path in Path("/").glob(pattern)):
        with contextlib.suppress(OSError):
            found[str(path)] = path.read_text().strip() if path.is_file() else "directory"
    return found


def units() -> dict[str, str]:
    """The units directly below the root, and the pool."""
    names = [path.parent.name for path in Path("/sys/fs/cgroup").glob("*.s*/cgroup.procs")]
    if not Path("/run/systemd/system").exists():
        return {}
    properties = "--property=Id,ActiveState,AllowedCPUs,DropInPaths,FragmentPath"
    shown = subprocess.run(
        ["systemctl", "show", properties, *sorted({"dedicated.slice", *names})],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {block.split("Id=")[1].split("\n")[0]: block for block in shown.stdout.split("\n\n")}


def tasks() -> list[dict[str, Any]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            found.append(task(path))
    return found


def task(path: Path) -> dict[str, Any]:
    head, _, rest = (path / "stat").read_text().rpartition(") ")
    fields = rest.split()
    flags = int(fields[6])
    status = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines())
    groups = (path / "cgroup").read_text().splitlines()
    return {
        "tid": int(path.name),
        "pid": int(path.parts[2]),
        "started": fields[19],
        "name": head.partition(" (")[2],
        "state": fields[0],
        "processor": int(fields[36]),
        "cpus": sorted(os.sched_getaffinity(int(path.name))),
        "kernel": bool(flags & KERNEL_THREAD),
        "bound": bool(flags & NO_SETAFFINITY),
        "group": next((line[3:] for line in groups if line.startswith("0::")), ""),
        "preempted": int(status["nonvoluntary_ctxt_switches"]),
    }


print(json.dumps({"settings": settings(), "units": units(), "tasks": tasks()}))
