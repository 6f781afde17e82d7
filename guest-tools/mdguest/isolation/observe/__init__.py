"""Reading the guest's facts. Nothing here changes anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mdguest import knobs
from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP, POOL, RAW_POOL, Facts, Knob, container, cpu_manager
from mdguest.facts.boot import boot
from mdguest.facts.lasting import lasting
from mdguest.isolation.observe.groups import folders, group_at, nested, pods_of, root, top
from mdguest.isolation.observe.journalled import journalled
from mdguest.isolation.observe.tasks import tasks_of
from mdguest.isolation.observe.units import affine, systemd_of, units_of
from mdguest.knobs import interrupts
from mdguest.knobs.files import read_file
from mdguest.knobs.masks import MASKS
from mdguest.procfs import cpu_list, text, uptime

if TYPE_CHECKING:
    from mdguest.facts import Systemd, Task
    from mdguest.system import System

CPUS = "/sys/devices/system/cpu"


def observe(
    system: System,
    remembered: Iterable[Knob] = (),
    files: Iterable[str] = (),
    exempt: Iterable[str] = (),
) -> Facts:
    """The facts now. ``remembered`` knobs are read again; ``files`` may be written by mdguest, and
    ``exempt`` slices are looked at also where they are not there.
    """
    booted = system.exists("/run/systemd/system")  # by systemd: sd_booted(3)
    path, pods = f"{CGROUP}/{POOL if booted else RAW_POOL}", tuple(pods_of(system))
    above, below = list(top(system, CGROUP, pods)), folders(system, path)
    units = units_of(system, [path, *above, *below, *exempt]) if booted else {}
    systemd = systemd_of(system, units) if booted else None
    pool = group_at(system, path, units)
    groups = tuple(group_at(system, folder, units) for folder in above if folder != path)
    online = cpu_list(system, f"{CPUS}/online")
    machine = _of_the_machine(system, online)
    tasks = tuple(tasks_of(system, online, machine["present"] - online))
    facts = Facts(
        online=online,
        **machine,
        hidden=system.is_root() and not any(task.tid == 1 for task in tasks),
        container=container.name(system, tasks),
        **_of_the_hierarchy(system),
        systemd=systemd,
        groups=groups,
        pods=pods,
        cpu_managers=_cpu_managers(system, systemd, tasks),
        pool=pool if system.exists(path) or pool.asked or pool.dropin else None,
        nested=tuple(nested(system, path, units)),
        affine=tuple(affine(system)) if booted else (),
        lasting=tuple(lasting(system, [group.unit for group in groups if group.unit])),
        slices={name: group_at(system, f"{CGROUP}/{name}", units) for name in exempt},
        subsets=tuple(group_at(system, folder, units) for folder in below),
        files={path: read_file(system, path) for path in files},
        tasks=tasks,
        journalled=journalled(system, remembered, systemd, [pool, *groups], online),
    )
    return facts if facts.container else _with_the_kernels(system, facts)


def _of_the_hierarchy(system: System) -> dict[str, Any]:
    """What can be done with cgroups here, and what is done at the root."""
    return {
        "cpuset": "cpuset" in text(system, f"{CGROUP}/cgroup.controllers").split(),
        "frozen": not system.is_writable(CGROUP),
        "root": root(system),
        "controllers": text(system, f"{CGROUP}/cgroup.subtree_control"),
    }


def _of_the_machine(system: System, online: CpuSet) -> dict[str, Any]:
    """Its CPUs, its kernel, and what only a boot changes."""
    cmdline, nohz_full = text(system, "/proc/cmdline"), cpu_list(system, f"{CPUS}/nohz_full")
    possible = cpu_list(system, f"{CPUS}/possible") or online
    return {
        "present": cpu_list(system, f"{CPUS}/present") or online,
        "possible": possible,
        "numa": tuple(_cells(system)),
        "siblings": _siblings(system),
        "kernel": text(system, "/proc/sys/kernel/osrelease"),
        "uptime": uptime(system),
        "boot_isolated": cpu_list(system, f"{CPUS}/isolated"),
        "nohz_full": nohz_full,
        "cmdline": cmdline,
        **boot(system, cmdline, nohz_full, possible)._asdict(),
    }


def _with_the_kernels(system: System, facts: Facts) -> Facts:
    """Beside the tasks, what is the kernel's: in a container all that is the host's."""
    looks = [kind.look(system, facts.tasks) for kind in knobs.KINDS.values() if kind.look]
    return replace(
        facts,
        irqs=interrupts.look(system),
        masks=dict(_masks(system)),
        others={type(one): one for one in looks if one is not None},
    )


def _masks(system: System) -> Iterator[tuple[Knob, CpuSet]]:
    for mask in MASKS:
        for path in system.glob(mask.path):
            with contextlib.suppress(OSError, ValueError):  # xps_cpus of one with a single queue
                knob = Knob(mask.kind, path)
                yield knob, CpuSet.parse(knobs.read(system, knob) or "")


def _cpu_managers(
    system: System, systemd: Systemd | None, tasks: Iterable[Task]
) -> tuple[cpu_manager.CpuManager, ...]:
    if systemd is None or not systemd.kubelets:
        return ()
    return tuple(cpu_manager.managers(system, systemd.kubelets, tasks))


def _cells(system: System) -> Iterator[CpuSet]:
    for path in system.glob("/sys/devices/system/node/node[0-9]*/cpulist"):
        cpus = cpu_list(system, path)
        if cpus:
            yield cpus


def _siblings(system: System) -> tuple[CpuSet, ...]:
    lists = {
        cpu_list(system, path)
        for path in system.glob(f"{CPUS}/cpu[0-9]*/topology/thread_siblings_list")
    }
    return tuple(sorted(lists, key=lambda cpus: next(iter(cpus), -1)))
