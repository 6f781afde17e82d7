"""What the kernel was built for and told at boot: the timer tick, and RCU's callbacks.

Linux, Documentation/admin-guide/kernel-parameters.txt: ``nohz_full=`` implies ``rcu_nocbs=`` for
its CPUs, and a kernel without NO_HZ_FULL ignores it. CPU lists on the command line know more than
those in files: ``all``, ``N`` for the last CPU, and ``1-511:1/2``, of every 2 the first 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet

if TYPE_CHECKING:
    from mdguest.system import System

BOOT_CPU = CpuSet.of([0])
"""The kernel boots on CPU 0, keeps the time there, and some versions panic where it is to be
nohz_full all the same."""

TICKLESS_FILE = "/sys/devices/system/cpu/nohz_full"
_RELEASE = "/proc/sys/kernel/osrelease"
_MOST = 1 << 20
"""Bytes of a kernel's configuration."""


class Boot(NamedTuple):
    """``tickless`` is None where nothing says whether this kernel can stop its tick."""

    tickless: bool | None
    no_callbacks: CpuSet
    """The CPUs whose RCU callbacks others can run."""


def boot(system: System, cmdline: str, nohz_full: CpuSet, possible: CpuSet) -> Boot:
    """What came of the command line."""
    built = _configuration(system)
    return Boot(
        _tickless(system, built, cmdline, nohz_full),
        _no_callbacks(built, cmdline, nohz_full, possible),
    )


def _tickless(system: System, built: str, cmdline: str, nohz_full: CpuSet) -> bool | None:
    if nohz_full:
        return True
    if built:
        return "CONFIG_NO_HZ_FULL=y\n" in built
    ignored = any(word.startswith("nohz_full=") for word in cmdline.split())
    return None if system.exists(TICKLESS_FILE) and not ignored else False


def _no_callbacks(built: str, cmdline: str, nohz_full: CpuSet, possible: CpuSet) -> CpuSet:
    if built and "CONFIG_RCU_NOCB_CPU=y\n" not in built:
        return EMPTY
    if "CONFIG_RCU_NOCB_CPU_DEFAULT_ALL=y\n" in built:
        return possible
    lists = re.findall(r"(?:^|\s)rcu_nocbs=(\S+)", cmdline)
    return nohz_full | (kernel_list(lists[-1], possible) if lists else EMPTY)


def kernel_list(text: str, possible: CpuSet) -> CpuSet:
    """A CPU list of the kernel's command line; none where it is wrong, as for the kernel."""
    last = max(possible, default=0)
    try:
        parts = [_part(part, possible, last) for part in text.split(",")]
    except ValueError:
        return EMPTY
    return CpuSet.of({cpu for part in parts for cpu in part}) & possible


_STRIDE = re.compile(r"([^:]+):(\d{1,5})/(\d{1,5})")


def _part(text: str, possible: CpuSet, last: int) -> CpuSet:
    if text.lower() == "all":
        return possible
    stride = _STRIDE.fullmatch(text)
    cpus = CpuSet.parse(re.sub(r"\bN\b", str(last), stride[1] if stride else text))
    if not stride:
        return cpus
    used, group = int(stride[2]), int(stride[3])
    if not 0 < used <= group:
        raise ValueError(text)
    first = next(iter(cpus), 0)
    return CpuSet.of(cpu for cpu in cpus if (cpu - first) % group < used)


def _configuration(system: System) -> str:
    """The kernel's configuration; empty where it is nowhere."""
    try:
        return system.read(f"/boot/config-{system.read(_RELEASE)}") + "\n"
    except OSError:
        pass
    try:
        packed = system.read_bytes("/proc/config.gz", _MOST)
    except OSError:
        return ""
    import zlib

    try:
        return zlib.decompressobj(wbits=31).decompress(packed, 8 * _MOST).decode("ascii", "replace")
    except zlib.error:
        return ""
