"""Reading files that this kernel or guest may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet

if TYPE_CHECKING:
    from mdguest.system import System


def text(system: System, path: str) -> str:
    """A file's text; empty where there is none that can be read."""
    try:
        return system.read(path)
    except OSError:
        return ""


def cpu_list(system: System, path: str) -> CpuSet:
    """A list file's CPUs; none where the file is missing, or says ``(null)`` as nohz_full may."""
    try:
        return CpuSet.parse(text(system, path))
    except ValueError:
        return EMPTY
