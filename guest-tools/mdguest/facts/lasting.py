"""AllowedCPUs= that is written below /etc: systemd reads it again at each daemon-reload.

``systemctl set-property`` without ``--runtime`` writes such a file. It then takes the place of what
mdguest has set until the next boot, and before Linux 7 the pool's partition becomes invalid.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet

if TYPE_CHECKING:
    from mdguest.system import System

CONTROL = "/etc/systemd/system.control"
_PATTERNS = (
    f"{CONTROL}/{{}}.d/*.conf",
    "/etc/systemd/system/{}",
    "/etc/systemd/system/{}.d/*.conf",
)
_SETTING = re.compile(r"^[ \t]*AllowedCPUs[ \t]*=(.*)$", re.MULTILINE)


class Lasting(NamedTuple):
    """A unit's CPUs, as a file below /etc gives them."""

    unit: str
    path: str
    cpus: CpuSet

    def mended(self, cpus: CpuSet) -> str:
        """The line that leaves the unit only these."""
        if self.path.startswith(CONTROL):
            return f"systemctl set-property {self.unit} AllowedCPUs={cpus}"
        return f"AllowedCPUs={cpus} in {self.path}; systemctl daemon-reload"


def lasting(system: System, units: Iterable[str]) -> Iterator[Lasting]:
    """The files below /etc that give these units CPUs."""
    for unit in units:
        for path in (path for form in _PATTERNS for path in system.glob(form.format(unit))):
            cpus = _allowed(system, path)
            if cpus:
                yield Lasting(unit, path, cpus)


def _allowed(system: System, path: str) -> CpuSet:
    """What the file's lines add up to; an empty one takes back those before it."""
    cpus = EMPTY
    with contextlib.suppress(OSError, ValueError):  # systemd does not take it either
        for value in map(str.strip, _SETTING.findall(system.read(path))):
            cpus = cpus | CpuSet.parse(",".join(re.split(r"[,\s]+", value))) if value else EMPTY
    return cpus
