"""Whether this guest is a container: then interrupts and kernel threads are its host's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.procfs import environment, text

if TYPE_CHECKING:
    from mdguest.system import System

_MARKS = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
"""Files that a container's runtime leaves in it."""


def name(system: System) -> str:
    """What it is called (``lxc``, ``docker``, ``systemd-nspawn``); empty in a machine of its own.

    systemd leaves this in a file for those who may not read its environment: systemd's
    CONTAINER_INTERFACE.
    """
    told = text(system, "/run/systemd/container").strip()
    marks = (kind for path, kind in _MARKS.items() if system.exists(path))
    return told or environment(system, 1).get("container", "") or next(marks, "")
