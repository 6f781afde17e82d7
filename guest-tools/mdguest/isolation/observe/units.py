"""What systemd says of the units that matter, and which of them have CPUAffinity=."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import POOL, UNITS, Affine, Systemd, kubernetes, manager
from mdguest.knobs.systemctl import RUNTIME, TRANSIENT, properties, systemctl
from mdguest.procfs import text

if TYPE_CHECKING:
    from mdguest.system import System

PROPERTIES = "Id,LoadState,FragmentPath,ActiveState,AllowedCPUs,CPUSetPartition"
"""What is asked of every unit that matters: systemctl(1), show."""

UNIT_FILES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
CONTROL_FILES = ("/etc/systemd/system.control", RUNTIME, TRANSIENT)
_FILES = ("*.service", "*.scope", "*.service.d/*.conf", "*.scope.d/*.conf")

Units = Mapping[str, Mapping[str, str]]
"""Unit → property → value."""


def units_of(system: System, paths: Iterable[str]) -> Units:
    """What systemd says of the units of these cgroups, of the pool and of every kubelet.

    Raises OSError where it does not answer: units that nobody tells of are not gone.
    """
    names = [path.rpartition("/")[2] for path in paths]
    owned = [name for name in names if name.endswith(UNITS)]
    asked = dict.fromkeys((POOL, *kubernetes.UNITS, *owned))
    out = systemctl(system, "show", f"--property={PROPERTIES}", *asked)
    blocks = [properties(block) for block in out.split("\n\n")]
    return {block["Id"]: block for block in blocks if block.get("Id")}


def systemd_of(system: System, units: Units) -> Systemd:
    version = system.run("systemctl", "--version").out.split()
    pool = units.get(POOL, {})
    return Systemd(
        version=_number(version[1]) if len(version) > 1 else 0,
        partitions="CPUSetPartition" in pool,
        pool_file=pool.get("FragmentPath", ""),
        pool_active=pool.get("ActiveState") == "active",
        pool_partition=pool.get("CPUSetPartition", ""),
        kubelets=tuple(
            unit for unit in kubernetes.UNITS if units.get(unit, {}).get("LoadState") == "loaded"
        ),
        affinity=manager.affinity(system, text(system, "/proc/cmdline")),
    )


def _number(version: str) -> int:
    """``252.39``, ``257~rc1`` → 252, 257."""
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 0


def affine(system: System) -> Iterator[Affine]:
    """The loaded units with CPUAffinity=. systemd is asked only of those whose files have it: to be
    asked of all takes it long.
    """
    names = sorted(set(_units_that_say(system, "CPUAffinity=")))
    if not names:
        return
    wanted = "--property=Id,CPUAffinity,Slice,ControlGroup"
    out = systemctl(system, "show", wanted, *names)
    for block in out.split("\n\n"):
        shown = properties(block)
        with contextlib.suppress(ValueError):  # ``numa`` instead of a list
            cpus = CpuSet.parse(shown.get("CPUAffinity", "").replace(" ", ","))
            if cpus:
                yield Affine(shown["Id"], cpus, shown["Slice"], shown["ControlGroup"])


def _units_that_say(system: System, setting: str) -> Iterator[str]:
    """Units one of whose files has the setting; of a template, all its instances."""
    patterns = [f"{folder}/{name}" for folder in (*UNIT_FILES, *CONTROL_FILES) for name in _FILES]
    for path in (path for pattern in patterns for path in system.glob(pattern)):
        if setting in text(system, path):
            folder, _, name = path.rpartition("/")
            unit = folder.rpartition("/")[2].removesuffix(".d") if name.endswith(".conf") else name
            yield unit.replace("@.", "@*.")
