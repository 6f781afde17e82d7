"""Settings that are files: CPU lists and masks of the kernel's, and files of ours or systemd's.

Linux Documentation/core-api/workqueue.rst, networking/scaling.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.knobs.kind import Kind, same_cpus, same_text
from mdguest.knobs.systemctl import systemctl
from mdguest.procfs import from_mask, mask

if TYPE_CHECKING:
    from mdguest.system import System


def read_list(system: System, path: str) -> str:
    """Of a CPU list, whatever else it is."""
    return str(CpuSet.parse(system.read(path)))


def _read_mask(system: System, path: str) -> str:
    return str(from_mask(system.read(path)))


def _write_mask(system: System, path: str, value: str | None) -> None:
    system.write(path, mask(CpuSet.parse(value or "")))


def read_file(system: System, path: str) -> str | None:
    """Its text; None where there is none."""
    try:
        return system.read(path)
    except FileNotFoundError:
        return None


def _write_file(system: System, path: str, value: str | None) -> None:
    """Put a file of ours in place, or remove it, and tell systemd of its units."""
    _write_dropin(system, path, value)
    if path.startswith("/run/systemd/"):
        systemctl(system, "daemon-reload")


def _write_dropin(system: System, path: str, value: str | None) -> None:
    """Put back a drop-in of systemd's, whose setting is in force already: no reload is needed."""
    if value is None:
        system.remove(path)
        _remove_if_empty(system, path.rpartition("/")[0])
    else:
        system.save(path, value + "\n")


def _remove_if_empty(system: System, folder: str) -> None:
    if folder.endswith(".d") and not system.glob(folder + "/*"):
        system.remove(folder)


def _unit_of_dropin(path: str) -> str:
    return path.split("/")[-2].removesuffix(".d")


MASK = Kind(_read_mask, _write_mask, same_cpus)
FILE = Kind(read_file, _write_file, same_text)
DROPIN = Kind(read_file, _write_dropin, same_text, unit=_unit_of_dropin, at_reload=True)
