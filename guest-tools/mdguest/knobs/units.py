"""systemd's settings of units: whether they run, and which CPUs they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import CGROUP, POOL
from mdguest.knobs import lost
from mdguest.knobs.files import read_list
from mdguest.knobs.kind import Kind, same_cpus, same_text
from mdguest.knobs.systemctl import RUNTIME, TRANSIENT, shown, systemctl
from mdguest.procfs import is_populated

if TYPE_CHECKING:
    from mdguest.system import System


def dropin(unit: str) -> str:
    """The file in which ``systemctl set-property --runtime`` keeps AllowedCPUs=."""
    folder = TRANSIENT if unit.endswith(".scope") else RUNTIME
    return f"{folder}/{unit}.d/50-AllowedCPUs.conf"


def allowed_cpus(properties: Mapping[str, str]) -> CpuSet:
    """AllowedCPUs= as systemctl shows it: ``0-1 3``."""
    return CpuSet.parse(properties.get("AllowedCPUs", "").replace(" ", ","))


def activity(active: bool) -> str:
    """Of a unit's states, the two that can be asked for."""
    return "active" if active else "inactive"


def _read_active(system: System, unit: str) -> str:
    return activity(shown(system, unit, "ActiveState")["ActiveState"] == "active")


def _write_active(system: System, unit: str, value: str | None) -> None:
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


def _read_cpus(system: System, target: str) -> str:
    unit = _unit(target)
    told = shown(system, unit, "AllowedCPUs", "ControlGroup")
    path = f"{CGROUP}{told['ControlGroup']}/cpuset.cpus"
    has = told["ControlGroup"] and system.exists(path)
    kernel = read_list(system, path) if has else None
    everything = CpuSet.parse(system.read("/sys/devices/system/cpu/online"))
    return property_now(str(allowed_cpus(told)), kernel, everything)


def _write_cpus(system: System, target: str, value: str | None) -> None:
    """Set it until the next boot. Clearing it goes over all CPUs where there are tasks: see
    ``property_now``; only there, since to claim all CPUs breaks others' partitions (Linux 6.1).
    """
    unit = _unit(target)
    if unit == POOL:
        lost.let_go(system, f"{CGROUP}/{POOL}")
    if not value and _is_populated(system, unit):
        everything = system.read("/sys/devices/system/cpu/present")
        systemctl(system, "set-property", "--runtime", unit, f"AllowedCPUs={everything}")
    systemctl(system, "set-property", "--runtime", unit, f"AllowedCPUs={value or ''}")


def _is_populated(system: System, unit: str) -> bool:
    return is_populated(system, CGROUP + shown(system, unit, "ControlGroup")["ControlGroup"])


def _read_property(system: System, target: str) -> str:
    unit, _, name = target.partition(" ")
    return shown(system, unit, name)[name]


def _write_property(system: System, target: str, value: str | None) -> None:
    unit, _, name = target.partition(" ")
    systemctl(system, "set-property", "--runtime", unit, f"{name}={value or ''}")


def _unit(target: str) -> str:
    """``user.slice AllowedCPUs`` is of user.slice."""
    return target.partition(" ")[0]


UNIT = Kind(_read_active, _write_active, same_text, moves_tasks=True)
CPUS = Kind(_read_cpus, _write_cpus, same_cpus, unit=_unit, moves_tasks=True)
PROPERTY = Kind(_read_property, _write_property, same_text, unit=_unit, moves_tasks=True)
