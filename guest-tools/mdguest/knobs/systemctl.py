"""Asking and telling systemd: systemctl(1)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdguest.system import System

RUNTIME, TRANSIENT = "/run/systemd/system.control", "/run/systemd/transient"
"""Where systemd keeps what is set until the next boot: of units from files, and of scopes."""


def systemctl(system: System, *arguments: str) -> str:
    """Raises OSError where it fails."""
    done = system.run("systemctl", *arguments)
    if done.status:
        raise OSError(errno.EIO, f"systemctl {' '.join(arguments)}: {done.err or done.status}")
    return done.out


def properties(text: str) -> dict[str, str]:
    """What ``systemctl show`` says of one unit."""
    return dict(line.partition("=")[::2] for line in text.splitlines())


def shown(system: System, unit: str, *names: str) -> dict[str, str]:
    """A unit's properties."""
    out = systemctl(system, "show", f"--property={','.join(names)}", unit)
    return {**dict.fromkeys(names, ""), **properties(out)}
