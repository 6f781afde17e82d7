"""What systemd says of the units that matter, and which of them have CPUAffinity=."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import POOL, Affine, Systemd, kubernetes, manager
from mdguest.facts.place import UNITS
from mdguest.knobs.systemctl import RUNTIME, TRANSIENT, properties, systemctl
from mdguest.procfs import text

if TYPE_CHECKING:
    from mdguest.system import System

PROPERTIES = "Id,LoadState,FragmentPath,ActiveState,AllowedCPUs,CPUSetPartition"
"""What is asked of every unit that matters: systemctl(1), show."""

FOLDERS = (
    *(f"/etc/systemd/system{kind}" for kind in ("", ".attached", ".control")),
    *(f"/run/systemd/system{kind}" for kind in ("", ".attached")),
    *(f"/run/systemd/generator{kind}" for kind in ("", ".early", ".late")),
    RUNTIME,
    TRANSIENT,
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
"""Where units' files are: systemd.unit(5), of the system's manager."""

_RUN = ("service", "socket", "mount", "swap")
"""The kinds of units that start programs: systemd.exec(5)."""

_AFFINITY = re.compile(r"^[ \t]*CPUAffinity[ \t]*=", re.MULTILINE)
_UNASKED = ("disabled", "masked", "masked-runtime")
"""Units that nobody starts: none of these counts unless it runs."""

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
    names = sorted(set(_units_that_say(system, _AFFINITY)))
    if not names:
        return
    wanted = "--property=Id,CPUAffinity,Slice,ControlGroup,UnitFileState"
    out = systemctl(system, "show", wanted, *names)
    for shown in map(properties, out.split("\n\n")):
        is_asked = shown.get("ControlGroup") or shown.get("UnitFileState") not in _UNASKED
        with contextlib.suppress(ValueError):  # ``numa`` instead of a list
            cpus = CpuSet.parse(shown.get("CPUAffinity", "").replace(" ", ","))
            if cpus and is_asked:
                yield Affine(shown["Id"], cpus, shown["Slice"], shown["ControlGroup"])


def _units_that_say(system: System, setting: re.Pattern[str]) -> Iterator[str]:
    """Units one of whose files has the setting; where a file is of several, a pattern of them."""
    files = [form for kind in _RUN for form in (f"*.{kind}", f"*{kind}.d/*.conf")]
    patterns = [f"{folder}/{name}" for folder in FOLDERS for name in files]
    for path in (path for pattern in patterns for path in system.glob(pattern)):
        if setting.search(text(system, path)):
            folder, _, name = path.rpartition("/")
            yield _named(folder.rpartition("/")[2][:-2] if name.endswith(".conf") else name)


def _named(unit: str) -> str:
    """``vpp@.service`` and ``vpp-.service.d`` are of all whose name begins so, ``service.d`` of all
    services.
    """
    stem, dot, kind = unit.rpartition(".")
    every = not dot or stem.endswith(("@", "-"))
    return f"{stem}*.{kind}" if every else unit
