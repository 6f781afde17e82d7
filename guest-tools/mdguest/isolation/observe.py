"""Reading the guest's facts. Nothing here changes anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mdguest import knobs
from mdguest.cpuset import CpuSet
from mdguest.facts import (
    CGROUP,
    POOL,
    RAW_POOL,
    Affine,
    Facts,
    Group,
    Knob,
    Systemd,
    Task,
    container,
    kubernetes,
)
from mdguest.facts.boot import boot
from mdguest.facts.lasting import lasting
from mdguest.knobs import interrupts, irqbalance, lost
from mdguest.procfs import cpu_list as _list
from mdguest.procfs import text as _text

if TYPE_CHECKING:
    from mdguest.system import System

CPUS = "/sys/devices/system/cpu"
UNITS = (".slice", ".scope", ".service", ".mount", ".socket", ".swap")
"""The kinds of systemd units that have a cgroup."""

PROPERTIES = "Id,LoadState,FragmentPath,ActiveState,AllowedCPUs,CPUSetPartition"
"""What is asked of every unit that matters: systemctl(1), show."""

DEFAULT_IRQ = Knob("mask", "/proc/irq/default_smp_affinity")
WATCHDOG = Knob("list", "/proc/sys/kernel/watchdog_cpumask")
QUEUES = "/sys/class/net/*/queues/"
MASKS = (
    "/proc/irq/default_smp_affinity",
    "/sys/devices/virtual/workqueue/cpumask",
    "/sys/devices/virtual/workqueue/*/cpumask",
    "/proc/sys/net/core/rps_default_mask",
    QUEUES + "rx-*/rps_cpus",
    QUEUES + "tx-*/xps_cpus",
)
"""Files that hold a CPU mask which decides where the kernel works."""

_KERNEL_THREAD = 0x00200000
_NO_SETAFFINITY = 0x04000000
"""PF_KTHREAD and PF_NO_SETAFFINITY: include/linux/sched.h."""


def observe(system: System, journalled: Iterable[Knob] = (), files: Iterable[str] = ()) -> Facts:
    """The facts now. ``journalled`` knobs are read again; ``files`` may be written by mdguest."""
    booted = system.exists("/run/systemd/system")  # by systemd: sd_booted(3)
    path, pods = f"{CGROUP}/{POOL if booted else RAW_POOL}", tuple(_pods(system))
    top, below = list(_top(system, CGROUP, pods)), _folders(system, path)
    units = _units(system, [path, *top, *below]) if booted else {}
    systemd = _systemd(system, units) if booted else None
    pool = _group(system, path, units)
    groups = tuple(_group(system, folder, units) for folder in top if folder != path)
    online = _list(system, f"{CPUS}/online")
    possible = _list(system, f"{CPUS}/possible") or online
    tasks = tuple(_tasks(system, online))
    facts = Facts(
        online=online,
        present=_list(system, f"{CPUS}/present") or online,
        possible=possible,
        numa=tuple(_cells(system)),
        siblings=_siblings(system),
        kernel=_text(system, "/proc/sys/kernel/osrelease"),
        container=container.name(system),
        **_at_boot(system, possible),
        cpuset="cpuset" in _text(system, f"{CGROUP}/cgroup.controllers").split(),
        frozen=not system.is_writable(CGROUP),
        root=_root(system),
        controllers=_text(system, f"{CGROUP}/cgroup.subtree_control"),
        systemd=systemd,
        groups=groups,
        pods=pods,
        cpu_managers=_cpu_managers(system, systemd, tasks),
        pool=pool if system.exists(path) or pool.asked or pool.dropin else None,
        nested=tuple(_nested(system, path, units)),
        affine=tuple(_affine(system)) if booted else (),
        lasting=tuple(lasting(system, [group.unit for group in groups if group.unit])),
        subsets=tuple(_group(system, folder, units) for folder in below),
        files={path: knobs.read_file(system, path) for path in files},
        tasks=tasks,
        journalled=_journalled(system, journalled, _known(systemd, [pool, *groups], online)),
    )
    return facts if facts.container else _with_the_kernels(system, facts)


def _at_boot(system: System, possible: CpuSet) -> dict[str, Any]:
    """The facts that only a boot changes."""
    cmdline, nohz_full = _text(system, "/proc/cmdline"), _list(system, f"{CPUS}/nohz_full")
    return {
        "boot_isolated": _list(system, f"{CPUS}/isolated"),
        "nohz_full": nohz_full,
        "cmdline": cmdline,
        **boot(system, cmdline, nohz_full, possible)._asdict(),
    }


def _with_the_kernels(system: System, facts: Facts) -> Facts:
    """Beside the tasks, what is the kernel's: in a container all that is the host's."""
    bans, silent = None, False
    try:
        bans = irqbalance.banned(system)
    except BlockingIOError:
        silent = True
    return replace(
        facts,
        irqs=interrupts.read(system),
        masks=_masks(system),
        irqbalance=bans,
        silent_irqbalance=silent,
        deaf_irqbalance=_deaf(system, facts.tasks) if bans is None else None,
    )


def _root(system: System) -> CpuSet | None:
    """What is left to the root of the cgroups, which alone is no partition and has no such file."""
    if system.exists(f"{CGROUP}/cpuset.cpus.partition"):
        return None
    return _list(system, lost.ROOT) if system.exists(lost.ROOT) else None


def _folders(system: System, path: str) -> list[str]:
    return [found.rpartition("/")[0] for found in system.glob(f"{path}/*/cgroup.procs")]


def _cpu_managers(
    system: System, systemd: Systemd | None, tasks: Iterable[Task]
) -> tuple[kubernetes.CpuManager, ...]:
    if systemd is None or not systemd.kubelets:
        return ()
    running = [task.tid for task in tasks if task.name.startswith(("kubelet", "kubelite"))]
    return tuple(kubernetes.managers(system, systemd.kubelets, running))


def _pods(system: System) -> Iterator[str]:
    """The cgroups that Kubernetes has its pods in, wherever they are."""
    for depth in range(1, kubernetes.DEEPEST + 1):
        for path in system.glob(f"{CGROUP}{'/*' * (depth - 1)}/kubepods*/cgroup.procs"):
            folder = path.rpartition("/")[0]
            if not kubernetes.is_of_pods(folder.rpartition("/")[0]):
                yield folder


def _top(system: System, path: str, pods: Iterable[str]) -> Iterator[str]:
    """The cgroups below the root; of one that has pods deeper down its parts, as it is no
    neighbour of theirs.
    """
    for folder in _folders(system, path):
        if folder == lost.SPARE:
            continue  # of a run that was killed: nobody's
        if any(pod.startswith(f"{folder}/") for pod in pods):
            yield from _top(system, folder, pods)
        else:
            yield folder


def _cells(system: System) -> Iterator[CpuSet]:
    for path in system.glob("/sys/devices/system/node/node[0-9]*/cpulist"):
        cpus = _list(system, path)
        if cpus:
            yield cpus


def _siblings(system: System) -> tuple[CpuSet, ...]:
    lists = {
        _list(system, path)
        for path in system.glob(f"{CPUS}/cpu[0-9]*/topology/thread_siblings_list")
    }
    return tuple(sorted(lists, key=lambda cpus: next(iter(cpus), -1)))


def _nested(system: System, pool: str, units: Units) -> Iterator[Group]:
    """Cgroups below those at the top that were given CPUs of their own, or took some."""
    for path in _deeper(system, CGROUP):
        inside = path == pool or path.startswith(f"{pool}/")
        if not inside and (_list(system, f"{path}/cpuset.cpus") or _is_remote(system, path)):
            yield _group(system, path, units)


def _is_remote(system: System, path: str) -> bool:
    """Whether it is a partition all the same, by cpuset.cpus.exclusive alone (Linux 6.7)."""
    return _text(system, f"{path}/cpuset.cpus.partition") in ("root", "isolated")


def _deeper(system: System, path: str) -> Iterator[str]:
    """Every cgroup that is at least two steps below the root, and has a cpuset."""
    pattern = f"{path}/*"
    while True:
        pattern += "/*"
        found = system.glob(f"{pattern}/cpuset.cpus")
        if not found:
            return
        yield from (file.rpartition("/")[0] for file in found)


UNIT_FILES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
CONTROL_FILES = ("/etc/systemd/system.control", knobs.RUNTIME, knobs.TRANSIENT)


def _affine(system: System) -> Iterator[Affine]:
    """The loaded units with CPUAffinity=. systemd is asked only of those whose files have it: to be
    asked of all takes it long.
    """
    names = sorted(set(_units_that_say(system, "CPUAffinity=")))
    if not names:
        return
    wanted = "--property=Id,CPUAffinity,Slice,ControlGroup"
    out = system.run("systemctl", "show", wanted, *names).out
    for block in out.split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        with contextlib.suppress(ValueError):  # ``numa`` instead of a list
            cpus = CpuSet.parse(shown.get("CPUAffinity", "").replace(" ", ","))
            if cpus:
                yield Affine(shown["Id"], cpus, shown["Slice"], shown["ControlGroup"])


def _units_that_say(system: System, setting: str) -> Iterator[str]:
    """Units one of whose files has the setting; of a template, all its instances."""
    patterns = [f"{folder}/{name}" for folder in (*UNIT_FILES, *CONTROL_FILES) for name in _FILES]
    for path in (path for pattern in patterns for path in system.glob(pattern)):
        if setting in _text(system, path):
            folder, _, name = path.rpartition("/")
            unit = folder.rpartition("/")[2].removesuffix(".d") if name.endswith(".conf") else name
            yield unit.replace("@.", "@*.")


_FILES = ("*.service", "*.scope", "*.service.d/*.conf", "*.scope.d/*.conf")


Units = Mapping[str, Mapping[str, str]]
"""Unit → property → value."""


def _units(system: System, paths: Iterable[str]) -> Units:
    """What systemd says of the units of these cgroups, of the pool and of every kubelet."""
    names = [path.rpartition("/")[2] for path in paths]
    owned = [name for name in names if name.endswith(UNITS)]
    asked = dict.fromkeys((POOL, *kubernetes.UNITS, *owned))
    out = system.run("systemctl", "show", f"--property={PROPERTIES}", *asked).out
    blocks = (
        dict(line.partition("=")[::2] for line in block.splitlines()) for block in out.split("\n\n")
    )
    return {block["Id"]: block for block in blocks if block.get("Id")}


def _systemd(system: System, units: Units) -> Systemd:
    version = system.run("systemctl", "--version").out.split()
    pool = units.get(POOL, {})
    return Systemd(
        version=int("".join(filter(str.isdigit, version[1].split(".")[0].split("~")[0])) or 0)
        if len(version) > 1
        else 0,
        partitions="CPUSetPartition" in pool,
        pool_file=pool.get("FragmentPath", ""),
        pool_active=pool.get("ActiveState") == "active",
        pool_partition=pool.get("CPUSetPartition", ""),
        kubelets=tuple(
            unit for unit in kubernetes.UNITS if units.get(unit, {}).get("LoadState") == "loaded"
        ),
    )


def _group(system: System, path: str, units: Units) -> Group:
    name = path.rpartition("/")[2]
    unit = name if name in units else ""
    return Group(
        path=path,
        unit=unit,
        asked=knobs.allowed_cpus(units.get(unit, {})),
        cpus=_list(system, f"{path}/cpuset.cpus") if system.exists(f"{path}/cpuset.cpus") else None,
        effective=_list(system, f"{path}/cpuset.cpus.effective")
        if system.exists(f"{path}/cpuset.cpus.effective")
        else None,
        partition=_text(system, f"{path}/cpuset.cpus.partition"),
        populated="populated 1" in _text(system, f"{path}/cgroup.events"),
        dropin=knobs.read_file(system, dropin(unit)) if unit else None,
    )


def dropin(unit: str) -> str:
    """The file in which ``systemctl set-property --runtime`` keeps AllowedCPUs=."""
    folder = knobs.TRANSIENT if unit.endswith(".scope") else knobs.RUNTIME
    return f"{folder}/{unit}.d/50-AllowedCPUs.conf"


def _masks(system: System) -> dict[Knob, CpuSet]:
    found = {}
    for path in (path for pattern in MASKS for path in system.glob(pattern)):
        with contextlib.suppress(OSError, ValueError):  # xps_cpus of a device with a single queue
            found[Knob("mask", path)] = knobs.from_mask(system.read(path))
    if system.exists(WATCHDOG.target):
        found[WATCHDOG] = _list(system, WATCHDOG.target)
    return found


def _tasks(system: System, online: CpuSet) -> Iterator[Task]:
    rooms = {"": _list(system, f"{CGROUP}/cpuset.cpus.effective") or online}
    for path in system.glob("/proc/[0-9]*/task/[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            task = _task(system, path, rooms)
            if task:
                yield task


def _task(system: System, path: str, rooms: dict[str, CpuSet]) -> Task | None:
    """The thread whose stat file this is; None where nobody could move it."""
    stat = system.read(path)
    head, _, rest = stat.rpartition(") ")
    flags = int(rest.split(" ")[6])
    tid, _, name = head.partition(" (")
    if flags & _NO_SETAFFINITY or rest[0] in "ZX":
        return None
    kernel = bool(flags & _KERNEL_THREAD)
    group = "/" if kernel else _cgroup(system, path)
    started, cpus = knobs.start_time(stat), system.affinity(int(tid))
    process = int(path.split("/")[2])
    parent = process if process != int(tid) else int(rest.split(" ")[1])
    room = _room(system, group.rstrip("/"), rooms)
    return Task(f"{tid}:{started}", name, cpus, kernel, group, room, parent)


def _cgroup(system: System, stat: str) -> str:
    lines = system.read(stat[: -len("stat")] + "cgroup").splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "/")


def _room(system: System, group: str, rooms: dict[str, CpuSet]) -> CpuSet:
    """The CPUs that a cgroup's tasks may use: those of the nearest one with a cpuset."""
    if group not in rooms:
        rooms[group] = _list(system, f"{CGROUP}{group}/cpuset.cpus.effective") or _room(
            system, group.rpartition("/")[0], rooms
        )
    return rooms[group]


def _deaf(system: System, tasks: Iterable[Task]) -> CpuSet | None:
    """What an irqbalance without a socket that answers was started to keep off."""
    running = [task for task in tasks if task.name == "irqbalance" and not task.kernel]
    return irqbalance.banned_at_start(system, running[0].tid) if running else None


def _journalled(
    system: System, wanted: Iterable[Knob], known: Mapping[Knob, str]
) -> dict[Knob, str | None]:
    found = {}
    for knob in wanted:
        with contextlib.suppress(OSError, ValueError):  # gone: nothing to put back
            if knob in known or not _is_reverted(system, knob):
                found[knob] = known[knob] if knob in known else knobs.read(system, knob)
    return found


def _known(systemd: Systemd | None, groups: Iterable[Group], online: CpuSet) -> dict[Knob, str]:
    """What need not be asked of systemd again."""
    if systemd is None:
        return {}
    known = {Knob("unit", POOL): knobs.activity(systemd.pool_active)}
    for group in groups:
        if group.unit:
            kernel = None if group.cpus is None else str(group.cpus)
            now = knobs.property_now(str(group.asked), kernel, online)
            known[Knob("cpus", f"{group.unit} AllowedCPUs")] = now
    return known


def _is_reverted(system: System, knob: Knob) -> bool:
    """Whether a unit has gone, and its setting with it: somebody stopped and reverted it."""
    unit = unit_of(knob)
    return bool(unit) and not system.exists(dropin(unit)) and not system.exists(f"{CGROUP}/{unit}")


def unit_of(knob: Knob) -> str:
    """The unit whose AllowedCPUs= this is, or the drop-in that keeps it; empty for other knobs."""
    if knob.kind == "cpus":
        return knob.target.partition(" ")[0]
    return knob.target.split("/")[-2].removesuffix(".d") if knob.kind == "dropin" else ""
