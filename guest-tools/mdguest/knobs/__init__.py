"""Every kind of thing that mdguest sets: how it is read, written and compared.

Values are text, so that the journal can keep them: CPU sets in list form, whatever form the kernel
wants. A value of None is a file or cgroup that is not there. Kernel interfaces: Linux
Documentation/admin-guide/cgroup-v2.rst, core-api/irq/irq-affinity.rst, core-api/workqueue.rst.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable, NamedTuple

from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP, POOL, RAW_POOL, Knob
from mdguest.knobs import irqbalance, lost

if TYPE_CHECKING:
    from mdguest.system import System

RUNTIME, TRANSIENT = "/run/systemd/system.control", "/run/systemd/transient"
"""Where systemd keeps what is set until the next boot: of units from files, and of scopes."""


class Kind(NamedTuple):
    """How one kind of knob is read and written; both raise OSError."""

    read: Callable[[System, str], str | None]
    write: Callable[[System, str, str | None], None]
    same: Callable[[str | None, str | None], bool]


def mask(cpus: CpuSet) -> str:
    """The kernel's mask form: hexadecimal, groups of 32 bits, ``f,ffffffff``."""
    words = [f"{cpus.mask & 0xFFFFFFFF:08x}"]
    rest = cpus.mask >> 32
    while rest:
        words.append(f"{rest & 0xFFFFFFFF:08x}")
        rest >>= 32
    return ",".join(reversed(words)).lstrip("0") or "0"


def from_mask(text: str) -> CpuSet:
    return CpuSet(int(text.replace(",", "") or "0", 16))


def same_cpus(one: str | None, other: str | None) -> bool:
    """Whether both are the same set of CPUs; what is no list is no set."""
    try:
        return CpuSet.parse(one or "") == CpuSet.parse(other or "")
    except ValueError:
        return False


def same_text(one: str | None, other: str | None) -> bool:
    return one == other


def read_list(system: System, path: str) -> str:
    return str(CpuSet.parse(system.read(path)))


def write_list(system: System, path: str, value: str | None) -> None:
    if path == f"{CGROUP}/{RAW_POOL}/cpuset.cpus":
        lost.let_go(system, f"{CGROUP}/{RAW_POOL}")
    system.write(path, value or "")


def write_root(system: System, _: str, value: str | None) -> None:
    lost.reclaim(system, CpuSet.parse(value or ""))


def read_mask(system: System, path: str) -> str:
    return str(from_mask(system.read(path)))


def write_mask(system: System, path: str, value: str | None) -> None:
    system.write(path, mask(CpuSet.parse(value or "")))


def read_file(system: System, path: str) -> str | None:
    return system.read(path) if system.exists(path) else None


def write_file(system: System, path: str, value: str | None) -> None:
    """Put a file of ours in place, or remove it, and tell systemd of its units."""
    write_dropin(system, path, value)
    if path.startswith("/run/systemd/"):
        systemctl(system, "daemon-reload")


def write_dropin(system: System, path: str, value: str | None) -> None:
    """Put back a drop-in of systemd's, whose setting is in force already: no reload is needed."""
    if value is None:
        system.remove(path)
        _remove_if_empty(system, path.rpartition("/")[0])
    else:
        system.save(path, value + "\n")


def _remove_if_empty(system: System, folder: str) -> None:
    if folder.endswith(".d") and not system.glob(folder + "/*"):
        system.remove(folder)


def systemctl(system: System, *arguments: str) -> str:
    done = system.run("systemctl", *arguments)
    if done.status:
        raise OSError(errno.EIO, f"systemctl {' '.join(arguments)}: {done.err or done.status}")
    return done.out


def _shown(system: System, unit: str, *names: str) -> dict[str, str]:
    """A unit's properties."""
    out = systemctl(system, "show", f"--property={','.join(names)}", unit)
    return {
        **dict.fromkeys(names, ""),
        **dict(line.partition("=")[::2] for line in out.split("\n")),
    }


def allowed_cpus(properties: Mapping[str, str]) -> CpuSet:
    """AllowedCPUs= as systemctl shows it: ``0-1 3``."""
    return CpuSet.parse(properties.get("AllowedCPUs", "").replace(" ", ","))


def read_active(system: System, unit: str) -> str:
    return activity(_shown(system, unit, "ActiveState")["ActiveState"] == "active")


def activity(active: bool) -> str:
    """Of a unit's states, the two that can be asked for."""
    return "active" if active else "inactive"


def write_active(system: System, unit: str, value: str | None) -> None:
    systemctl(system, "start" if value == "active" else "stop", unit)


def property_now(asked: str, kernel: str | None, everything: CpuSet) -> str:
    """What AllowedCPUs= is in truth: systemd may hold one thing and the kernel another.

    A cgroup with tasks cannot have its cpuset emptied again (ENOSPC before Linux 7): one that
    names all CPUs is as good as none.
    """
    if kernel is None or same_cpus(asked, kernel):
        return asked
    if not asked and everything <= CpuSet.parse(kernel):
        return asked
    return f"{asked or 'unset'} (kernel: {kernel or 'unset'})"


def read_property(system: System, target: str) -> str:
    unit, _, name = target.partition(" ")
    shown = _shown(system, unit, name, "ControlGroup")
    if name != "AllowedCPUs":
        return shown[name]
    path = f"{CGROUP}{shown['ControlGroup']}/cpuset.cpus"
    has = shown["ControlGroup"] and system.exists(path)
    kernel = read_list(system, path) if has else None
    everything = CpuSet.parse(system.read("/sys/devices/system/cpu/online"))
    return property_now(str(allowed_cpus(shown)), kernel, everything)


def write_property(system: System, target: str, value: str | None) -> None:
    """Set it until the next boot. Clearing it goes over all CPUs where there are tasks: see
    ``property_now``; only there, since to claim all CPUs breaks others' partitions (Linux 6.1).
    """
    unit, _, name = target.partition(" ")
    if name == "AllowedCPUs" and unit == POOL:
        lost.let_go(system, f"{CGROUP}/{POOL}")
    if name == "AllowedCPUs" and not value and _is_populated(system, unit):
        everything = system.read("/sys/devices/system/cpu/present")
        systemctl(system, "set-property", "--runtime", unit, f"{name}={everything}")
    systemctl(system, "set-property", "--runtime", unit, f"{name}={value or ''}")


def _is_populated(system: System, unit: str) -> bool:
    group = _shown(system, unit, "ControlGroup")["ControlGroup"]
    try:
        return "populated 1" in system.read(f"{CGROUP}{group}/cgroup.events")
    except OSError:
        return False


def read_text(system: System, path: str) -> str:
    return system.read(path)


def write_partition(system: System, path: str, value: str | None) -> None:
    """Change a partition's state. An invalid one only heals over ``member`` (Linux 6.1); one that
    is right already is left alone, as tasks get in while it is a member.
    """
    now, want = system.read(path), value or "member"
    if "invalid" in now:
        system.write(path, "member")
    if now != want:
        system.write(path, want)


def read_affinity(system: System, task: str) -> str:
    return str(system.affinity(_alive(system, task)))


def write_affinity(system: System, task: str, value: str | None) -> None:
    system.set_affinity(_alive(system, task), CpuSet.parse(value or ""))


def start_time(stat: str) -> str:
    """When a task was started, in clock ticks since boot: proc(5), /proc/pid/stat, field 22."""
    return stat.rpartition(") ")[2].split(" ")[19]


def _alive(system: System, task: str) -> int:
    tid, _, started = task.partition(":")
    try:
        if start_time(system.read(f"/proc/{tid}/stat")) == started:
            return int(tid)
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise ProcessLookupError(errno.ESRCH, f"task {tid} has ended")


def read_bans(system: System, _: str) -> str | None:
    try:
        bans = irqbalance.banned(system)
    except BlockingIOError:
        return irqbalance.SILENT
    return None if bans is None else str(bans)


def write_bans(system: System, _: str, value: str | None) -> None:
    irqbalance.ban(system, CpuSet.parse(value or ""))


def read_controllers(system: System, path: str) -> str:
    return "cpuset" if "cpuset" in system.read(path).split() else ""


def write_controllers(system: System, path: str, value: str | None) -> None:
    system.write(path, "+cpuset" if value else "-cpuset")


def read_group(system: System, path: str) -> str | None:
    return "there" if system.exists(path) else None


def write_group(system: System, path: str, value: str | None) -> None:
    if value:
        system.mkdir(path)
        return
    for below in system.glob(f"{path}/*/cgroup.procs"):  # subsets whose programs have ended
        system.remove(below.rpartition("/")[0])
    system.remove(path)


KINDS: dict[str, Kind] = {
    "list": Kind(read_list, write_list, same_cpus),
    "mask": Kind(read_mask, write_mask, same_cpus),
    "root": Kind(read_list, write_root, same_cpus),
    "irq": Kind(read_list, write_list, same_cpus),
    "file": Kind(read_file, write_file, same_text),
    "dropin": Kind(read_file, write_dropin, same_text),
    "unit": Kind(read_active, write_active, same_text),
    "cpus": Kind(read_property, write_property, same_cpus),
    "native": Kind(read_property, write_property, same_text),
    "partition": Kind(read_text, write_partition, same_text),
    "affinity": Kind(read_affinity, write_affinity, same_cpus),
    "irqbalance": Kind(read_bans, write_bans, same_cpus),
    "controllers": Kind(read_controllers, write_controllers, same_text),
    "cgroup": Kind(read_group, write_group, same_text),
}


def same(knob: Knob, one: str | None, other: str | None) -> bool:
    return KINDS[knob.kind].same(one, other)


def read(system: System, knob: Knob) -> str | None:
    return KINDS[knob.kind].read(system, knob.target)


def write(system: System, knob: Knob, value: str | None) -> None:
    KINDS[knob.kind].write(system, knob.target, value)
