"""Whether this guest is a container: then interrupts and kernel threads are its host's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdguest.procfs import environment, text

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.system import System

_MARKS = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
"""Files that a container's runtime leaves in it."""


_UNKNOWN = "of unknown kind"


def name(system: System, tasks: Iterable[Task]) -> str:
    """What it is called (``lxc``, ``docker``, ``systemd-nspawn``); empty in a machine of its own.

    systemd leaves this in a file for those who may not read its environment: systemd's
    CONTAINER_INTERFACE. A pod of Kubernetes says nothing of itself, but sees no kernel threads.
    """
    told = text(system, "/run/systemd/container").strip()
    marks = (kind for path, kind in _MARKS.items() if system.exists(path))
    said = told or environment(system, 1).get("container", "") or next(marks, "")
    return said or (_UNKNOWN if _has_a_namespace(tasks) else "")


def _has_a_namespace(tasks: Iterable[Task]) -> bool:
    """Whether its processes are numbered apart from the machine's: the first one is there to be
    seen, and none of the kernel's.
    """
    first = any(task.tid == 1 for task in tasks)
    return first and not any(task.kernel for task in tasks)
