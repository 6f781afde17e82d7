"""CPUAffinity= of systemd itself: every service is born with it, and hands it down to its children.

systemd keeps it to itself, so it is read where systemd reads it: systemd-system.conf(5), and
``systemd.cpu_affinity=`` of systemd(1), which the kernel's command line has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.procfs import text

if TYPE_CHECKING:
    from mdguest.system import System

FILE = "/etc/systemd/system.conf"
FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib")
"""Where drop-ins may be; of two with one name, the one in the first folder counts."""
_SETTING = re.compile(r"^\s*CPUAffinity\s*=[ \t]*(.*?)\s*$", re.MULTILINE)


def affinity(system: System, cmdline: str) -> CpuSet:
    """The CPUs; the empty set where nothing is set, or not as a list (``numa``)."""
    values = [value or "\n" for value in _settings(system, cmdline)]
    since = " ".join(values).rpartition("\n")[2]
    try:
        return CpuSet.parse(",".join(since.replace(",", " ").split()))
    except ValueError:
        return EMPTY


def _settings(system: System, cmdline: str) -> Iterator[str]:
    """Each value that is set, in order: a later one adds to it, an empty one starts anew."""
    drop_ins: dict[str, str] = {}
    for folder in FOLDERS:
        for path in system.glob(f"{folder}/systemd/system.conf.d/*.conf"):
            drop_ins.setdefault(path.rpartition("/")[2], path)
    for path in (FILE, *(drop_ins[name] for name in sorted(drop_ins))):
        yield from _SETTING.findall(text(system, path))
    yield from re.findall(r"(?:^|\s)systemd\.cpu_affinity=(\S+)", cmdline)
