"""A drop-in that puts a service on the dedicated CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/systemd/system/NAME.service.d/50-dedicated.conf"

UNBALANCED = """
The partition is "isolated": the kernel does not spread threads over its CPUs, all would stay on the
one where they start. Let the program pin its threads, or start each with CPUAffinity= of one CPU,
or make the partition a "root" one, which is balanced.
"""

BALANCED = """
The partition is "root": the kernel balances threads among its CPUs, and them alone.
"""

SETTINGS = """\
[Unit]
# Not before the CPUs are isolated, and not at all where they are not.
Requires=dedicated-cpus.target
After=dedicated-cpus.target

[Service]
Slice=dedicated.slice
# Needed only where the program does not pin itself, or where CPUAffinity= is set in system.conf:
# a service inherits that, and does not start with no CPU in common with its slice.
# CPUAffinity={dedicated}
"""


def spreading(cpus: Split) -> str:
    """Whether the kernel spreads a program's threads, and what to do where it does not."""
    return UNBALANCED if cpus.partition == "isolated" else BALANCED


def render(cpus: Split) -> str:
    """The drop-in; NAME in its path is for the user to fill in."""
    guide = Guide(
        put=f"{PATH}, where NAME is your service",
        activate="systemctl daemon-reload; systemctl restart NAME",
        undo="remove this file; systemctl daemon-reload; systemctl restart NAME",
        notes=spreading(cpus),
    )
    top = heading("systemd", cpus, guide)
    return top + SETTINGS.format(dedicated=cpus.pool)
