"""VPP: its main thread and its workers, one to a dedicated CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/vpp/startup.conf"

NOTES = """
The main thread has the first dedicated CPU: it serves the API and the command line, and moves no
packets while there are workers. VPP's service must be in dedicated.slice (`mdguest render systemd`
has the drop-in, for vpp.service), or it gets shared CPUs. Set no skip-cores or workers beside this.
"""

ALONE = """
Only one CPU is dedicated: the main thread does all the work. A second one would give it a worker.
"""


def render(cpus: Split) -> str:
    """The section ``cpu`` of VPP's startup configuration."""
    main = CpuSet.of([next(iter(cpus.usable))])
    workers = cpus.usable - main
    guide = Guide(
        put=f"{PATH}, in place of its section cpu",
        activate="systemctl restart vpp; vppctl show threads",
        undo="put the section back as it was; systemctl restart vpp",
        notes=NOTES + ("" if workers else ALONE),
    )
    lines = [f"  main-core {main}"] + ([f"  corelist-workers {workers}"] if workers else [])
    return "\n".join([heading("vpp", cpus, guide) + "cpu {", *lines, "}"]) + "\n"
